"""The online store on Redis 7.0 or newer, or Valkey, by URL."""
