"""Several views in one request: one of them twice under two names with its keys mapped, and views without entities."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import hitherto
from hitherto import FeatureService
from hitherto.encoding.row_codec import encode_payload
from hitherto.testing import FakeClock, ReferenceStore
from hitherto.timeline import MIN_INSTANT, Interval, to_datetime
from properties.histories import ANCHOR_TICK, CASES, LAST_TICK, SCENARIOS, Step, anchor, chosen_seed, collect, histories
from properties.repos import Question, Repo, as_columns, entity_table, feature_view, source_columns, source_table

TIES_AND_TTL = SCENARIOS[1]


def test_a_view_joined_twice_with_its_keys_mapped_equals_the_reference_on_both_keys(tmp_path: Path) -> None:
    number = chosen_seed()
    rng = random.Random(number)
    repo = Repo(tmp_path / "repo", TIES_AND_TTL, collect(histories(TIES_AND_TTL), CASES // 20, number=number), rng)
    other = repo.view.with_name("other").with_join_key_map({"a": "c"})
    service = FeatureService("both", features=[repo.view, other[["f1"]]])
    repo.store.apply([repo.view, service])
    repo.run(0, Step(None, LAST_TICK, LAST_TICK))

    asked = [
        Question(rng.randrange(len(repo.keys)), TIES_AND_TTL.at(rng.randrange(LAST_TICK))) for _ in range(3 * CASES)
    ]
    table = entity_table(repo, asked)
    # `other` is the view at the key (c, b).
    by_key = {key: n for n, key in enumerate(repo.keys)}
    mapped = [(rng.choice([0, 1, None]), repo.keys[one.number][1]) for one in asked]
    table = table.append_column("c", pa.array([key[0] for key in mapped], pa.int64()))
    training = repo.store.get_historical_features(table, features=service, full_feature_names=True)
    found, statuses = training.to_arrow(), as_columns(training.statuses())
    assert found.column_names == [*table.column_names, "history__f0", "history__f1", "other__f1"]

    nobody = ReferenceStore(repo.view)
    names = ("history__f0", "history__f1", "other__f1")
    values = [found.column(name).to_pylist() for name in names]
    for row, (one, key) in enumerate(zip(asked, mapped, strict=True)):
        first = repo.references[one.number].retrieve(repo.keys[one.number], one.at)
        second = (repo.references[by_key[key]] if key in by_key else nobody).retrieve(key, one.at)
        wanted = (*first.values, second.values[1])
        got = [column[row] for column in values]
        kinds = (*repo.kinds, repo.kinds[1])
        assert encode_payload(kinds, got) == encode_payload(kinds, wanted), (number, one, key)
        assert [statuses[name][row] for name in names] == [*first.statuses, second.statuses[1]]


def test_views_without_entities_have_one_row_for_everybody(tmp_path: Path) -> None:
    number, views = chosen_seed(), 6
    rng = random.Random(number)
    scenario = replace(TIES_AND_TTL, join_keys={}, key=lambda _: ())
    listed = [(*anchor(scenario), *one) for one in collect(histories(scenario), views, number=number)]
    definitions = [feature_view(scenario, f"{n}.parquet", name=f"everybody{n}") for n in range(views)]
    rows = [[source_columns(scenario, (), row) for row in history] for history in listed]
    for n in range(views):
        pq.write_table(source_table(scenario, rows[n], rng), tmp_path / f"{n}.parquet")
    (tmp_path / "hitherto.toml").write_text('project = "properties"')
    end = scenario.at(LAST_TICK)
    store = hitherto.FeatureStore(repo_path=tmp_path, clock=FakeClock(to_datetime(end)))
    store.apply(definitions)
    store.materialize_incremental()
    references = [ReferenceStore(view) for view in definitions]
    for reference, columns in zip(references, rows, strict=True):
        reference.publish(columns, Interval(MIN_INSTANT, end), published_at=end)

    instants = [scenario.at(tick) for tick in range(ANCHOR_TICK - 1, LAST_TICK + 9)]
    rng.shuffle(instants)
    features = [f"{view.name}:f0" for view in definitions]
    training = store.get_historical_features(
        pa.table({"event_timestamp": pa.array(instants, pa.timestamp("us", "UTC"))}),
        features=features,
        full_feature_names=True,
    )
    found, statuses = training.to_arrow(), as_columns(training.statuses())
    online = store.get_online_features(features=features, entity_rows=[], full_feature_names=True).to_dict()
    for view, reference in zip(definitions, references, strict=True):
        kind, name = view.schema[0].dtype, f"{view.name}__f0"
        for row, at in enumerate(instants):
            answer = reference.retrieve((), at)
            assert encode_payload([kind], [found.column(name)[row].as_py()]) == encode_payload(
                [kind], answer.values[:1]
            )
            assert statuses[name][row] == answer.statuses[0], number
        assert len(online[name]) == 1
        assert encode_payload([kind], online[name]) == encode_payload([kind], reference.lookup((), end).values[:1])
