"""The few parts behind the public interface that benchmarks use: rows encoded as a run would push them.

Everything else goes through what users have; what changes inside is put right here.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hitherto import FeatureStore
from hitherto.materialization.runner import current_state
from hitherto.offline.duckdb import online_rows
from hitherto.offline.duckdb.connection import connect
from hitherto.online.store import Place
from hitherto.serving.auth import create_token


def encoded_rows(store: FeatureStore, view: str) -> list[pa.RecordBatch]:
    """Every key's winner of a materialized view as a run would push it: key, value, bucket."""
    (version,) = store.registry.view_versions(view)
    state, end = current_state(store.context, version), store.registry.snapshot().view(view).watermark or 0
    with connect(store.context.engine.limits) as con:
        return list(online_rows.all_winners(con, version.definition, state, sequence=1, end=end, keep_from=None))


def later(batch: pa.RecordBatch, number: int) -> pa.RecordBatch:
    """The same rows, as if they had happened later: rows that win over what is stored."""
    values = batch.column("value").cast(pa.large_binary())
    # A value's header begins with the format, then 16 digits of event time.
    changed = pc.binary_replace_slice(values, 1, 17, b"9%015x" % number)
    columns = {name: batch.column(name) for name in batch.schema.names}
    return pa.record_batch({**columns, "value": changed})


def place(generation: int) -> Place:
    """A generation of a view that nobody reads."""
    return Place("bench", "pushed", 1, generation)


def count(batches: Sequence[pa.RecordBatch]) -> int:
    return sum(batch.num_rows for batch in batches)


def token(file: Path) -> str:
    """A new bearer token with the scope `read`, as `hitherto token create` makes it."""
    return create_token(file, f"bench_{secrets.token_hex(4)}", "read")
