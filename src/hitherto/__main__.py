"""`python -m hitherto`: the command line where the script is not on the path."""

import sys

from hitherto.cli import main

if __name__ == "__main__":
    sys.exit(main())
