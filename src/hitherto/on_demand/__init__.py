"""On-demand features: whose function it is, how it is run over rows, and whether what it gives is of the declared types."""
