"""The gate: typed columns, checks, quarantine, profile and report (semantics 8 and 9)."""
