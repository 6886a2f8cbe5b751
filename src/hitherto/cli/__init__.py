"""The command line: it parses and prints, the facade does the work. `main` is the entry point of `hitherto`."""

from hitherto.cli.app import main

__all__ = ["main"]
