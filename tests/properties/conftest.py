"""What holds for all properties: the histories are short, so a key is hot from three rows on, and both joins are tried."""

from __future__ import annotations

import pytest

from hitherto.offline.duckdb import segments


@pytest.fixture(autouse=True)
def _few_rows_make_a_key_hot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "HOT_ROWS", 2)
