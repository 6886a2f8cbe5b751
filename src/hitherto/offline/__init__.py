"""Published segments: written once by runs, read as of a time by training sets."""
