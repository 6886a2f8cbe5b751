"""From source rows to published rows: which intervals, one run after the other, recovery after a crash."""
