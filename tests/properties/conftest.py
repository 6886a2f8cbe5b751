"""What holds for all properties: the histories are short, so blocks, chunks and many rows are too, and every way is tried.

A chunk has the rows of some histories: its ends fall into keys all the same, and each chunk is a statement.
"""

from __future__ import annotations

import pytest

from hitherto import search
from hitherto.offline.duckdb import files, finding, windowed_rows
from hitherto.windows import requests


@pytest.fixture(autouse=True)
def _few_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FEW", 2)
    monkeypatch.setattr(search, "BLOCK", 61)
    monkeypatch.setattr(finding, "CHUNK", 61)
    monkeypatch.setattr(files, "PICKED", 31)
    monkeypatch.setattr(windowed_rows, "CHUNK", 61)
    monkeypatch.setattr(windowed_rows, "SAMPLE", 7)
    monkeypatch.setattr(requests, "CHUNK", 41)
    monkeypatch.setattr(requests, "SPELLED", 61)
    # Some histories have more rows than are asked for, others fewer.
    monkeypatch.setattr(finding, "SPARSE", 1)
    monkeypatch.setattr(windowed_rows, "SPARSE", 1)
