"""Losses of arrays in chunks: Dask arrays in, lazy Dask arrays out."""
