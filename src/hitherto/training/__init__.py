"""Training sets: what was known at each row's time, lazily, explained, saved and built again."""
