from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hitherto.demo.delivery import Lookup, deliver
from hitherto.demo.stage import HISTORY_END, stage
from hitherto.errors import VerificationError

HOUR = datetime(2013, 12, 27, 17, tzinfo=UTC)
PRESENT = ("PRESENT", "PRESENT")


def test_a_lookup_is_the_same_row_however_old_it_has_become():
    lookup = Lookup((37.94, 10.0), PRESENT, HOUR, timedelta(hours=1))
    assert lookup.same_row(Lookup((37.94, 10.0), PRESENT, HOUR, timedelta(hours=5)))


@pytest.mark.parametrize(
    "other",
    [
        Lookup((37.94, -9999.0), PRESENT, HOUR, None),
        Lookup((37.94, 10.0), ("PRESENT", "NULL_VALUE"), HOUR, None),
        Lookup((37.94, 10.0), PRESENT, HOUR + timedelta(hours=1), None),
    ],
)
def test_another_value_status_or_time_is_another_row(other: Lookup):
    assert not Lookup((37.94, 10.0), PRESENT, HOUR, None).same_row(other)


@pytest.mark.slow
def test_a_broken_delivery_that_is_published_ends_the_demo(tmp_path: Path):
    with stage(tmp_path, online="lmdb", progress=lambda text: None) as made:
        weather = tmp_path / "weather.py"
        text = weather.read_text(encoding="utf-8")
        assert "expect.between(0, 10), " in text
        weather.write_text(text.replace("expect.between(0, 10), ", ""), encoding="utf-8")
        made.store.apply()
        # Only what the story needs; the year before has been and gone.
        made.store.materialize(HISTORY_END - timedelta(days=2), feature_views=["airport_weather"])
        with pytest.raises(VerificationError, match="A delivery in which 234 visibilities are broken was published"):
            deliver(made)
