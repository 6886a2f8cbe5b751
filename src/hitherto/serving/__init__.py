"""The server: lookups over HTTP in Feast's JSON, tokens, metrics, problem documents."""
