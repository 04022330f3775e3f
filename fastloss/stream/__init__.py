"""Linear models of rows that do not fit memory: files and arrays that are read block by block."""
