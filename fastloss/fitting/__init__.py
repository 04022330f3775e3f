"""Fits of a robust linear model: the ways to the minimum, and what they stand on."""
