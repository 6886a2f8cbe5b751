"""Raw data becomes relations: Parquet files and folders, local or in an object store, and a view's SELECT over them."""
