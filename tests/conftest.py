"""What holds for every test: Hypothesis without a stopwatch, and no settings of the person who runs the tests."""

from __future__ import annotations

import os

from hypothesis import settings

# Several workers share the cores, so a slow example says nothing.
settings.register_profile("hitherto", deadline=None, print_blob=True)
settings.load_profile("hitherto")

# Settings of the tests themselves; each is taken where it is used.
OURS = ("HITHERTO_PROPERTY_",)
for name in [name for name in os.environ if name.upper().startswith("HITHERTO_") and not name.startswith(OURS)]:
    del os.environ[name]
