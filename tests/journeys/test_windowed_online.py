"""Windowed views online (semantics 11), run by run: late rows, corrections, masked rows, keys that leave; both stores; crashes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hitherto import Aggregation, FeatureService, Field
from hitherto.errors import HithertoError, MaterializationFailed, OnlineStoreError
from hitherto.materialization import runner
from hitherto.offline.duckdb import windowed_values
from hitherto.online.store import Place
from hitherto.serving.server import running
from hitherto.types import Float64
from journeys.projects import Project, assert_parity, entity_rows, hour, source, table, view
from unit.serving.servers import Client, running_valkey

FEATURES = [f"readings:value_{one}" for one in ("count_1h", "count_6h", "sum_1h", "sum_6h", "max_6h", "last_3", "mean")]


def windows(**changes: Any) -> Any:
    return view(
        schema=[Field("value", Float64)],
        aggregations=[
            Aggregation("value", "count", windows=["1h", "6h"]),
            Aggregation("value", "sum", windows=["1h", "6h"]),
            Aggregation("value", "max", windows=["6h"]),
            Aggregation("value", "last", n=3),
            Aggregation("value", "mean"),
        ],
        **changes,
    )


def short() -> Any:
    """Without functions of all rows: keys leave the store."""
    return view(schema=[Field("value", Float64)], aggregations=[Aggregation("value", "sum", windows=["1h", "6h"])])


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with running_valkey() as url:
        yield url


@pytest.fixture(params=["lmdb", "valkey"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    settings = ""
    if request.param == "valkey":
        url = request.getfixturevalue("valkey")
        settings = f'[online]\nurl = "{url}"\n'
    name = f"p{abs(hash(tmp_path)) % 10**9}"
    one = Project(tmp_path / name, settings)
    text = (one.folder / "hitherto.toml").read_text(encoding="utf-8")
    (one.folder / "hitherto.toml").write_text(text.replace('"small"', f'"{name}"'), encoding="utf-8")
    one.reopen()
    yield one
    one.store.close()


def stored(project: Project, *sensors: str, of: str = "readings") -> list[bytes | None]:
    """The bytes in the online store."""
    served = project.store.registry.snapshot().view(of)
    place = Place(project.store.config.project, of, served.version, served.generation)
    return project.store.online_store.read(place, [f"s{len(one)}:{one}".encode() for one in sensors])


def test_rows_leave_their_windows_at_the_microsecond_without_a_run(project: Project) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23, 2.0), ("a", 23.5, None), ("b", 17, 8.0), ("b", 19, 4.0)])
    project.store.apply([windows()])
    project.store.materialize()
    assert project.lookup("a", "b", "none", features=FEATURES[:5]) == [
        (0, 2, None, 3.0, 2.0),
        (0, 1, None, 4.0, 4.0),
        (0, 0, None, None, None),
    ]
    assert project.statuses("a", "b", "none", feature="value_count_1h") == ["PRESENT", "PRESENT", "NOT_FOUND"]
    assert project.statuses("a", feature="value_sum_1h") == ["NULL_VALUE"]
    project.clock.set(hour(25.9999))
    assert project.lookup("a", features=["readings:value_sum_6h"]) == [3.0]
    project.clock.set(hour(26))
    assert project.lookup("a", features=["readings:value_sum_6h"]) == [2.0]
    project.clock.set(hour(1_000))
    assert project.lookup("a", features=FEATURES) == [(0, 0, None, None, None, [1.0, 2.0], 1.5)]
    assert_parity(project.store, FEATURES, instants=12)


def test_late_rows_corrections_and_masked_rows_are_computed_anew(project: Project) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0)])
    project.store.apply([windows()])
    project.store.materialize()
    project.at(24.5)
    project.deliver([("a", 21, 10.0), ("c", 22, 5.0)], "late.parquet")
    project.store.materialize_incremental()
    assert project.lookup("a", "c", features=["readings:value_sum_6h"]) == [13.0, 5.0]
    assert_parity(project.store, FEATURES, instants=12)
    # The late file is replaced: one row is another now, the other one is gone.
    project.deliver([("a", 21, 100.0)], "late.parquet")
    project.store.materialize_incremental()
    assert project.lookup("a", "c", features=["readings:value_sum_6h"]) == [103.0, None]
    assert stored(project, "c") == [None]
    assert_parity(project.store, FEATURES, instants=12)


def test_a_key_leaves_the_store_with_the_first_run_after_its_last_row_has_left_the_longest_window(
    project: Project,
) -> None:
    project.deliver([("a", 18.5, 1.0), ("b", 23, 2.0)])
    project.store.apply([short()])
    project.store.materialize()
    assert None not in stored(project, "a", "b")
    project.at(24.25)
    project.deliver([("b", 24, 2.0)], "more.parquet")
    project.store.materialize_incremental()
    assert None not in stored(project, "a", "b")
    # Readers hide it already.
    project.at(24.5)
    assert project.statuses("a", feature="value_sum_6h") == ["NOT_FOUND"]
    project.store.materialize_incremental()
    assert [one is None for one in stored(project, "a", "b")] == [True, False]
    # Nobody touched b, and its older row has left.
    project.at(29.5)
    assert project.lookup("b", features=["readings:value_sum_6h"]) == [2.0]
    assert_parity(project.store, ["readings:value_sum_1h", "readings:value_sum_6h"], instants=12)


def test_versions_of_an_event_count_once(project: Project) -> None:
    made = table([("a", 23.5, 1.0), ("a", 23.5, 5.0), ("a", 23.75, 2.0)])
    made = made.append_column("made", made.column("at").cast("timestamp[us]"))
    project.deliver(made.set_column(4, "made", [[hour(23.5), hour(23.6), hour(23.75)]]))
    project.store.apply([windows(source=source(created_timestamp_field="made"))])
    project.store.materialize()
    assert project.lookup("a", features=["readings:value_count_1h", "readings:value_sum_1h"]) == [(2, 7.0)]
    assert_parity(project.store, FEATURES, instants=12)


def test_pushing_again_writes_the_same_bytes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0), ("b", 22, -0.0)])
    project.store.apply([windows()])
    project.store.materialize()
    project.deliver([("a", 21, 0.1), ("c", 23, 7.0)], "late.parquet")

    def fails(*_: Any) -> None:
        raise OnlineStoreError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "_read_back", fails)
        with pytest.raises(HithertoError):
            project.store.materialize_incremental()
    first = stored(project, "a", "b", "c")
    assert None not in first
    project.reopen()
    project.store.materialize_incremental()
    assert project.states() == ["published", "published"]
    assert stored(project, "a", "b", "c") == first
    assert_parity(project.store, FEATURES, instants=12)


def test_a_full_load_and_touched_keys_have_the_same_steps(project: Project) -> None:
    rows = [("a", 18 + number / 8, number * 0.1) for number in range(48)]
    project.deliver(rows[:30])
    project.store.apply([windows()])
    project.store.materialize(end=hour(22))
    project.deliver(rows[30:], "more.parquet")
    project.store.materialize_incremental()
    (touched,) = stored(project, "a")
    assert touched is not None
    project.store.apply([windows(description="another")])
    fresh = Project(project.folder.parent / "other", "")
    fresh.deliver(rows)
    fresh.store.apply([windows()])
    fresh.store.materialize()
    (loaded,) = stored(fresh, "a")
    fresh.store.close()
    # The sequence of the run is another one.
    assert loaded is not None
    assert (loaded[:49], loaded[65:]) == (touched[:49], touched[65:])


def test_a_new_version_with_other_windows_takes_over_with_its_own_values(project: Project) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0)])
    project.store.apply([short()])
    project.store.materialize()
    project.store.apply([windows()])
    assert project.lookup("a", features=["readings:value_sum_6h"]) == [3.0]
    project.store.materialize()
    assert project.lookup("a", features=FEATURES[:4]) == [(1, 2, 2.0, 3.0)]
    assert_parity(project.store, FEATURES, instants=12)


def test_a_store_that_was_emptied_is_filled_again(project: Project) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0)])
    project.store.apply([windows()])
    project.store.materialize()
    served = project.store.registry.snapshot().view("readings")
    place = Place(project.store.config.project, "readings", served.version, served.generation)
    project.store.online_store.drop(place)
    project.store.materialize_incremental()
    assert project.lookup("a", features=FEATURES[:4]) == [(1, 2, 2.0, 3.0)]


def test_a_view_that_is_served_from_now_on_has_all_its_windows(project: Project) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0)])
    project.store.apply([windows(online=False)])
    project.store.materialize()
    project.store.apply([windows()])
    project.store.materialize_incremental()
    assert project.lookup("a", features=FEATURES[:4]) == [(1, 2, 2.0, 3.0)]
    assert_parity(project.store, FEATURES, instants=12)


def test_a_service_joins_windows_twice_and_plain_features(project: Project) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0), ("b", 23.5, 4.0)])
    plain = view("plain", schema=[Field("value", Float64)])
    other = windows().with_name("other").with_join_key_map({"sensor": "neighbour"})
    service = FeatureService(
        "all", features=[windows()[["value_sum_6h"]], plain, other[["value_last_3", "value_count_1h"]]]
    )
    project.store.apply([windows(), plain, service])
    project.store.materialize()
    rows = {"sensor": ["a", "b", "none"], "neighbour": ["b", None, "a"]}
    answer = project.store.get_online_features("all", rows, full_feature_names=True).to_dict()
    assert answer["readings__value_sum_6h"] == [3.0, 4.0, None]
    assert answer["plain__value"] == [2.0, 4.0, None]
    assert answer["other__value_last_3"] == [[4.0], None, [1.0, 2.0]]
    assert answer["other__value_count_1h"] == [1, 0, 1]
    with running(project.store) as url:
        body = {"feature_service": "all", "entities": rows, "full_feature_names": True}
        results = Client(url).post("/get-online-features", body).json["results"]
    assert [one["values"] for one in results[2:]] == [
        [3.0, 4.0, None],
        [2.0, 4.0, None],
        [[4.0], None, [1.0, 2.0]],
        [1, 0, 1],
    ]
    assert results[-1]["statuses"] == ["PRESENT", "NOT_FOUND", "PRESENT"]


def test_a_view_for_everybody_has_windows_too(project: Project) -> None:
    project.deliver([("a", 20, 1.0), ("b", 23.25, 2.0)])
    project.store.apply([windows(entities=[])])
    project.store.materialize()
    answer = project.store.get_online_features(FEATURES[:4], [{}]).to_dict()
    assert [column[0] for column in answer.values()] == [1, 2, 2.0, 3.0]
    assert_parity(project.store, FEATURES, instants=12)


def test_a_value_that_is_cut_off_is_an_error_that_says_what_to_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0)])
    project.store.apply([windows()])
    project.store.materialize()
    (value,) = stored(project, "a")
    assert value is not None
    for length in range(66, len(value), 7):
        with monkeypatch.context() as patch:
            patch.setattr(
                project.store.online_store, "read_many", lambda reads, cut=value[:length]: [[cut] for _ in reads]
            )
            with pytest.raises(OnlineStoreError, match="Materialize the view again"):
                project.lookup("a", features=FEATURES)
    assert project.lookup("a", features=FEATURES[:1]) == [1]


def test_training_sets_as_served_have_what_lookups_gave(project: Project) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0)])
    project.store.apply([windows()])
    project.store.materialize()
    first = project.lookup("a", features=FEATURES)
    project.at(25)
    project.deliver([("a", 22, 50.0)], "late.parquet")
    project.store.materialize_incremental()
    second = project.lookup("a", features=FEATURES)
    training = project.store.get_historical_features(entity_rows([("a", 24), ("a", 25)]), FEATURES, as_served=True)
    columns = [training.to_arrow().column(name).to_pylist() for name in training.features]
    assert [*zip(*columns, strict=True)] == [*first, *second]


def test_a_key_with_too_many_rows_is_warned_about_and_then_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0)])
    project.store.apply([windows()])
    monkeypatch.setattr(windowed_values, "LARGE", 100)
    project.store.materialize()
    (said,) = [one.getMessage() for one in caplog.records if "in the online store" in one.getMessage()]
    assert "Give such keys shorter windows" in said
    monkeypatch.setattr(windowed_values, "LARGEST", 200)
    project.deliver([("a", 23.5, 3.0)], "b.parquet")
    project.at(25)
    with pytest.raises(MaterializationFailed, match="The limit is 0 MB"):
        project.store.materialize_incremental()
    monkeypatch.undo()
    project.store.materialize_incremental()
    assert project.lookup("a", features=FEATURES[1:2]) == [3]


@pytest.mark.parametrize("place", range(3, 60, 15))
def test_a_value_with_a_wrong_bit_is_read_or_refused_and_raises_nothing_foreign(
    project: Project, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0)])
    project.store.apply([windows()])
    project.store.materialize()
    (value,) = stored(project, "a")
    assert value is not None
    for number in range(len(value) - place, 66, -60):
        damaged = value[:number] + bytes([value[number] ^ 1 << place % 8]) + value[number + 1 :]
        monkeypatch.setattr(project.store.online_store, "read_many", lambda reads, it=damaged: [[it] for _ in reads])
        with suppress(OnlineStoreError):
            project.lookup("a", features=FEATURES)


def test_a_window_may_be_longer_than_time_itself(project: Project) -> None:
    project.deliver([("a", 20, 1.0), ("a", 23.25, 2.0)])
    project.store.apply(
        [
            view(
                schema=[Field("value", Float64)],
                aggregations=[Aggregation("value", "sum", windows=["999999999d"], name="value_sum")],
            )
        ]
    )
    project.store.materialize()
    assert project.lookup("a", features=["readings:value_sum_999999999d"]) == [3.0]
    assert_parity(project.store, ["readings:value_sum_999999999d"], instants=4)
