"""Where published data comes from, and what depends on it."""
