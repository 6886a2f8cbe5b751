"""Benchmarks: one file per claim. Each proves equal results first, then measures pairs side by side. See docs/benchmarks.md."""
