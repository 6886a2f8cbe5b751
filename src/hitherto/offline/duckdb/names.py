"""Names inside a segment file, and how a key becomes one integer."""

from __future__ import annotations

from hitherto.definitions.feature_view import FeatureView
from hitherto.offline.plan import has_key_id
from hitherto.sql import quote, quote_all
from hitherto.types import DataType

KEY, EVENT, CREATED, AVAILABLE = "__key", "__event", "__created", "__available"
TIMES = (EVENT, CREATED, AVAILABLE)
PLACE = "__place"
# What an absent created time is compared as: before every other (semantics 2, nulls first).
NO_CREATED = "-9223372036854775808"


def key_id(view: FeatureView, *, prefix: str = "") -> str:
    """The integer of a key that needs no dictionary: its value, its days or its microseconds; 0 for a view without keys."""
    if not view.join_keys:
        return "0::bigint"
    ((name, kind),) = view.join_keys.items()
    return key_id_of(prefix + quote(name), kind)


def key_id_of(column: str, kind: DataType) -> str:
    """The same for one column."""
    if kind.name == "Date":
        return f"date_diff('day', date '1970-01-01', {column})::bigint"
    if kind.name == "Timestamp":
        return f"epoch_us({column})"
    return f"{column}::bigint"


def row_columns(view: FeatureView) -> tuple[str, ...]:
    """The columns of a segment's rows that carry meaning: keys, times, features. The key id is the file's own matter."""
    return (*view.join_keys, *TIMES, *view.column_names)


def placed_columns(view: FeatureView) -> str:
    """The columns of a segment's rows that carry meaning, and what else `order_by` needs."""
    return quote_all(row_columns(view)) + ("" if view.has_versions else f", rowid as {PLACE}")


def order_by(view: FeatureView, *, prefix: str = "") -> str:
    """The canonical order of rows: key, then the total order of semantics 2.

    Ties do not survive a run, but in a windowed view without versions: such rows come from one segment, which has them in their order.
    """
    keys = [prefix + quote(name) for name in view.join_keys]
    places = [] if view.has_versions else [prefix + PLACE]
    return ", ".join([*keys, prefix + EVENT, f"{prefix}{CREATED} nulls first", prefix + AVAILABLE, *places])


def rank(*, prefix: str = "") -> str:
    """A row's place in the order of its key as one comparable value."""
    return (
        f"{{e: epoch_us({prefix}{EVENT}), c: coalesce(epoch_us({prefix}{CREATED}), {NO_CREATED}), "
        f"a: epoch_us({prefix}{AVAILABLE})}}"
    )


def key_join(view: FeatureView, left: str, right: str) -> str:
    """The condition that two relations agree on all keys; always true for a view without keys."""
    return " and ".join(f"{left}.{quote(name)} = {right}.{quote(name)}" for name in view.join_keys) or "true"


def key_list(view: FeatureView, *, prefix: str = "") -> str:
    """The key columns for a select list or a group by."""
    return quote_all(view.join_keys, prefix=prefix)


def needs_dictionary(view: FeatureView) -> bool:
    """Whether the segment holds a table `keys` from key columns to key id."""
    return not has_key_id(view)
