"""Pure bytes: how keys and rows are written, in Python and in SQL."""
