"""`hitherto demo`: the example repo, run for real, told in about a screen and written into one HTML page."""
