"""The online store: the latest row of each key, and the lookups that read it."""
