from __future__ import annotations

import pytest

from hitherto.demo.telling import minute, rate


@pytest.mark.parametrize(
    ("rows", "seconds", "expected"),
    [(1_234_567, 1.0, "1,230,000 rows/s"), (50, 1.0, "50 rows/s"), (999, 1.0, "999 rows/s"), (0, 0.0, "0 rows/s")],
)
def test_a_rate_has_three_digits(rows: int, seconds: float, expected: str):
    assert rate(rows, seconds) == expected


def test_no_instant_is_a_dash():
    assert minute(None) == "-"
