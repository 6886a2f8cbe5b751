"""The ledger against a model that asks every instant for itself."""

from __future__ import annotations

import sys
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hitherto.registry.ledger import Piece, covered, history, pieces, watermark
from hitherto.registry.records import Publication
from hitherto.timeline import Interval

WIDTH = 12


def publication(number: int, start: int, end: int, published_at: int, segment: bool = True) -> Publication:
    return Publication(
        number=number,
        view="v",
        version=1,
        run_id=f"r{number}",
        run_sequence=number,
        interval=Interval(start, end),
        segment_id=f"s{number}" if segment else None,
        published_at=published_at,
    )


@st.composite
def ledgers(draw: st.DrawFn) -> list[Publication]:
    found = []
    for number in range(1, draw(st.integers(0, 7)) + 1):
        start = draw(st.integers(0, WIDTH - 1))
        end = draw(st.integers(start + 1, WIDTH))
        # Few instants, in any order: clocks may stand still, and go back.
        found.append(publication(number, start, end, draw(st.integers(0, 5)), draw(st.booleans())))
    return found


def winner(ledger: list[Publication], instant: int, as_of: int | None) -> Publication | None:
    """The last publication, as of an instant, that covers an instant."""
    there = [one for one in ledger if as_of is None or one.published_at <= as_of]
    covering = [one for one in there if one.interval.start <= instant < one.interval.end]
    return max(covering, key=lambda one: one.number, default=None)


def at(found: tuple[Piece, ...], instant: int) -> list[int]:
    return [piece.number for piece in found if piece.interval.start <= instant < piece.interval.end]


@given(ledgers(), st.none() | st.integers(-1, 6), st.randoms())
def test_each_instant_belongs_to_the_last_publication_that_covers_it(ledger, as_of, random):
    shuffled = random.sample(ledger, len(ledger))
    found = pieces(shuffled, as_of=as_of)
    for instant in range(-1, WIDTH + 1):
        expected = winner(ledger, instant, as_of)
        assert at(found, instant) == ([expected.number] if expected else [])


@given(ledgers(), st.none() | st.integers(-1, 6))
def test_pieces_come_in_order_and_are_as_long_as_they_can_be(ledger, as_of):
    found = pieces(ledger, as_of=as_of)
    for before, after in pairwise(found):
        assert before.interval.end <= after.interval.start
        assert before.interval.end < after.interval.start or before.number != after.number
    by_number = {one.number: one for one in ledger}
    for piece in found:
        source = by_number[piece.number]
        assert source.interval.covers(piece.interval)
        assert piece.whole == (source.interval == piece.interval)
        assert piece.masked_at is None
        assert (piece.segment_id, piece.published_at, piece.run_id) == (
            source.segment_id,
            source.published_at,
            source.run_id,
        )


@given(ledgers())
def test_history_shows_every_instant_what_was_visible_at_every_moment(ledger):
    past = history(ledger)
    for as_of in range(-1, 7):
        visible = tuple(
            piece
            for piece in past
            if piece.published_at <= as_of and (piece.masked_at is None or as_of < piece.masked_at)
        )
        for instant in range(WIDTH):
            expected = winner(ledger, instant, as_of)
            assert at(visible, instant) == ([expected.number] if expected else [])


@given(ledgers())
def test_history_has_no_piece_that_was_never_visible_and_none_that_could_be_longer(ledger):
    past = history(ledger)
    assert all(piece.masked_at is None or piece.masked_at > piece.published_at for piece in past)
    for before, after in pairwise(past):
        touching = before.number == after.number and before.interval.end == after.interval.start
        assert not (touching and before.masked_at == after.masked_at)


@given(ledgers(), st.none() | st.integers(-1, 6))
def test_covered_and_watermark_are_the_instants_that_were_published(ledger, as_of):
    intervals = covered(ledger, as_of=as_of)
    for instant in range(-1, WIDTH + 1):
        inside = any(one.start <= instant < one.end for one in intervals)
        assert inside == (winner(ledger, instant, as_of) is not None)
    assert watermark(ledger, as_of=as_of) == (intervals[-1].end if intervals else None)


def test_an_interval_published_again_masks_all_older_rows_in_it():
    ledger = [publication(1, 0, 10, 100), publication(2, 4, 6, 200)]
    assert [(one.segment_id, one.interval, one.whole) for one in pieces(ledger)] == [
        ("s1", Interval(0, 4), False),
        ("s2", Interval(4, 6), True),
        ("s1", Interval(6, 10), False),
    ]


def test_an_interval_published_without_rows_masks_too():
    ledger = [publication(1, 0, 10, 100), publication(2, 0, 10, 200, segment=False)]
    assert [(one.segment_id, one.whole) for one in pieces(ledger)] == [(None, True)]
    assert covered(ledger) == (Interval(0, 10),)


def test_a_piece_masked_by_two_neighbours_at_one_instant_is_whole():
    ledger = [publication(1, 0, 10, 100), publication(2, 0, 5, 200), publication(3, 5, 10, 200)]
    first = history(ledger)[0]
    assert (first.interval, first.masked_at, first.whole) == (Interval(0, 10), 200, True)


def test_of_two_publications_of_one_instant_the_later_number_wins():
    ledger = [publication(2, 0, 10, 100), publication(1, 0, 10, 100)]
    assert [one.segment_id for one in history(ledger)] == ["s2"]


def test_an_empty_ledger_covers_nothing():
    assert (pieces([]), history([]), covered([]), watermark([])) == ((), (), (), None)


def test_the_work_of_folding_grows_as_the_ledger_does():
    def calls(count: int) -> int:
        ledger, made = [publication(number, number, number + 30, number) for number in range(1, count + 1)], 0

        def note(frame, event, argument):
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            assert len(pieces(ledger)) == count
        finally:
            sys.setprofile(None)
        return made

    assert calls(5_000) < 15 * calls(500)
