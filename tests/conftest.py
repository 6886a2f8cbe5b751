"""What holds for every test: Hypothesis without a stopwatch, and no settings of the person who runs the tests."""

from __future__ import annotations

import os

from hypothesis import settings

# Several workers share the cores, so a slow example says nothing.
settings.register_profile("hitherto", deadline=None, print_blob=True)
settings.load_profile("hitherto")

for name in [name for name in os.environ if name.upper().startswith("HITHERTO_")]:
    del os.environ[name]
