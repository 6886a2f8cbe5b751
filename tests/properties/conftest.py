"""What holds for all properties: the histories are short, so blocks, chunks and many rows are too, and every way is tried."""

from __future__ import annotations

import pytest

from hitherto.offline.duckdb import files, finding, search


@pytest.fixture(autouse=True)
def _few_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FEW", 2)
    monkeypatch.setattr(search, "BLOCK", 16)
    monkeypatch.setattr(finding, "CHUNK", 8)
    monkeypatch.setattr(files, "PICKED", 8)
    # Some histories have more rows than are asked for, others fewer.
    monkeypatch.setattr(finding, "SPARSE", 1)
