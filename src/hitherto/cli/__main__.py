"""`python -m hitherto.cli`: the command line where the script is not on the path."""

from hitherto.cli import main

if __name__ == "__main__":
    main()
