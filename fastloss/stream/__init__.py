"""Rows of a linear model that do not fit into memory, block by block."""
