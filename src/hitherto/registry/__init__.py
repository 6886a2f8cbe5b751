"""What is deployed: definitions, versions, runs, segments, ledger."""
