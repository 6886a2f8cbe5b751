"""The offline engine on DuckDB. One immutable database file per segment."""
