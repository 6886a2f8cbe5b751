from __future__ import annotations

from datetime import UTC, datetime

from hitherto.demo.serving import ENTITY, OFFSETS, Parity, body, tell_parity
from hitherto.demo.telling import Grid, Words
from hitherto.monitoring.parity import Mismatch, ParityReport

EVENING = datetime(2013, 12, 27, 22, tzinfo=UTC)


def words(parity: Parity) -> list[tuple[str, str]]:
    """The cells of the section, with their tones."""
    grid = tell_parity(parity).body[0]
    assert isinstance(grid, Grid)
    cells = [cell for row in grid.rows for cell in row]
    return [(cell.text, cell.tone) if isinstance(cell, Words) else (cell, "") for cell in cells]


def test_a_request_has_a_column_per_key_and_field_in_the_order_of_its_rows():
    flight = {"airport": "JFK", "alternate": "LGA", "scheduled_departure": "2013-12-27T22:05:00Z"}
    rows = [{"aircraft": f"N{number}", **flight} for number in range(3)]
    asked = body(rows)
    assert list(asked["entities"]) == list(ENTITY)
    assert asked["entities"]["aircraft"] == ["N0", "N1", "N2"]


def test_parity_of_several_states_adds_up():
    parity = Parity(
        [(EVENING, ParityReport(10, 10, 7, instants=(1, 2))), (EVENING, ParityReport(5, 5, 5, instants=(3,)))]
    )
    assert (parity.whole.checked, parity.whole.equal, parity.whole.present) == (15, 15, 12)
    assert words(parity)[0] == ("15 of 15", "good")


def test_what_differs_is_told():
    wrong = Mismatch("airport_weather", "temperature", 0, "PRESENT", "NOT_FOUND", 2)
    told = words(Parity([(EVENING, ParityReport(10, 8, 7, mismatches=(wrong,), instants=(1,)))]))
    assert told[0] == ("8 of 10", "bad")
    assert (
        told[-1][0]
        == "airport_weather:temperature at 1970-01-01T00:00:00Z: 2 lookups give NOT_FOUND instead of PRESENT"
    )


def test_instants_begin_at_the_watermark_and_pass_the_ttls():
    minutes = [offset.total_seconds() / 60 for offset in OFFSETS]
    assert minutes[0] == 0
    assert minutes == sorted(minutes)
    assert minutes[-1] > 6 * 60
