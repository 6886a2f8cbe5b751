"""The online store in the project's folder, on LMDB: no server, several processes, reads in microseconds."""
