"""The one table of types (semantics 8): name, Arrow, DuckDB, Python. The codecs' forms live beside the codecs.

Every type is a frozen, comparable value. `from hitherto.types import Float64, List, String`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Bool",
    "Bytes",
    "DataType",
    "Date",
    "Decimal",
    "Float32",
    "Float64",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "List",
    "String",
    "Struct",
    "Timestamp",
]  # fmt: skip  (a table reads better in rows)


@dataclass(frozen=True)
class DataType:
    """A declared type. `name` is its text in definitions, JSON and messages; `sql` its DuckDB type."""

    name: str
    sql: str

    def __repr__(self) -> str:
        return self.name

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that leaves every public method."""
        return _arrow(self)

    @property
    def is_integer(self) -> bool:
        """Whether this is one of the four integer types."""
        return self in INTEGER_RANGES

    @property
    def is_float(self) -> bool:
        """Whether this is Float32 or Float64."""
        return self in (Float32, Float64)

    @property
    def is_number(self) -> bool:
        """Whether mean, standard deviation and quantiles make sense."""
        return self.is_integer or self.is_float or isinstance(self, DecimalType)

    @property
    def is_nested(self) -> bool:
        """Whether this is a List or a Struct."""
        return isinstance(self, ListType | StructType)


@dataclass(frozen=True, repr=False)
class DecimalType(DataType):
    """Decimal(p, s): p digits, s of them after the point."""

    precision: int = 18
    scale: int = 3


@dataclass(frozen=True, repr=False)
class ListType(DataType):
    """List(T): any number of values of one type, empty lists and nulls inside included."""

    element: DataType = DataType("Float64", "DOUBLE")


@dataclass(frozen=True, repr=False)
class StructType(DataType):
    """Struct({"name": T}): named values, in their order."""

    fields: tuple[tuple[str, DataType], ...] = ()


Bool = DataType("Bool", "BOOLEAN")
Int8 = DataType("Int8", "TINYINT")
Int16 = DataType("Int16", "SMALLINT")
Int32 = DataType("Int32", "INTEGER")
Int64 = DataType("Int64", "BIGINT")
Float32 = DataType("Float32", "FLOAT")
Float64 = DataType("Float64", "DOUBLE")
String = DataType("String", "VARCHAR")
Bytes = DataType("Bytes", "BLOB")
Date = DataType("Date", "DATE")
Timestamp = DataType("Timestamp", "TIMESTAMP")

SIMPLE_TYPES = {
    kind.name: kind for kind in (Bool, Int8, Int16, Int32, Int64, Float32, Float64, String, Bytes, Date, Timestamp)
}
KEY_TYPES = (Bool, Int8, Int16, Int32, Int64, String, Bytes, Date, Timestamp)
INTEGER_RANGES = {
    kind: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for kind, bits in ((Int8, 8), (Int16, 16), (Int32, 32), (Int64, 64))
}


def Decimal(precision: int, scale: int) -> DecimalType:  # noqa: N802  (a type's name, in the field's spelling)
    """An exact decimal number.

    >>> Decimal(10, 2)
    Decimal(10, 2)
    """
    if not (1 <= precision <= 38 and 0 <= scale <= precision):
        raise ValueError(f"Decimal({precision}, {scale}): the precision is 1 to 38, the scale 0 to the precision.")
    return DecimalType(f"Decimal({precision}, {scale})", f"DECIMAL({precision}, {scale})", precision, scale)


def List(element: DataType) -> ListType:  # noqa: N802  (a type's name, in the field's spelling)
    """A list of one type.

    >>> List(Float64).sql
    'DOUBLE[]'
    """
    return ListType(f"List({element.name})", f"{element.sql}[]", element)


def Struct(fields: Mapping[str, DataType]) -> StructType:  # noqa: N802  (a type's name, in the field's spelling)
    """Named values.

    >>> Struct({"x": Float64})
    Struct({'x': Float64})
    """
    if not fields:
        raise ValueError("Struct needs at least one field.")
    name = "Struct({" + ", ".join(f"{key!r}: {kind.name}" for key, kind in fields.items()) + "})"
    sql = (
        "STRUCT(" + ", ".join(f'"{key.replace(chr(34), chr(34) * 2)}" {kind.sql}' for key, kind in fields.items()) + ")"
    )
    return StructType(name, sql, tuple(fields.items()))


def parse(text: str) -> DataType:
    """The type of a name, as `repr` writes it. Raises ValueError; nothing is evaluated.

    >>> parse("List(Decimal(10, 2))")
    List(Decimal(10, 2))
    """
    try:
        return _from_tree(ast.parse(text, mode="eval").body)
    except (SyntaxError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{text!r} is not a type. Types: {', '.join(SIMPLE_TYPES)}, Decimal(p, s), List(T), Struct({{name: T}})."
        ) from error


def _from_tree(node: ast.expr) -> DataType:
    if isinstance(node, ast.Name):
        return SIMPLE_TYPES[node.id]
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise TypeError(ast.dump(node))
    arguments = node.args
    if node.func.id == "Decimal" and len(arguments) == 2:
        precision, scale = (ast.literal_eval(argument) for argument in arguments)
        return Decimal(precision, scale)
    if node.func.id == "List":
        return List(_from_tree(arguments[0]))
    if node.func.id == "Struct" and isinstance(arguments[0], ast.Dict):
        keys = [ast.literal_eval(key) for key in arguments[0].keys if key is not None]
        return Struct(dict(zip(keys, (_from_tree(value) for value in arguments[0].values), strict=True)))
    raise KeyError(node.func.id)


def from_arrow(kind: pa.DataType) -> DataType | None:
    """The nearest declared type of an Arrow type, or None if there is none (used to write definitions, never to guess)."""
    import pyarrow.types as at

    if at.is_dictionary(kind):
        return from_arrow(kind.value_type)
    if at.is_decimal(kind):
        return Decimal(kind.precision, kind.scale) if 0 <= kind.scale <= kind.precision <= 38 else None
    if at.is_list(kind) or at.is_large_list(kind) or at.is_fixed_size_list(kind):
        element = from_arrow(kind.value_type)
        return List(element) if element else None
    if at.is_struct(kind):
        fields = {kind.field(i).name: from_arrow(kind.field(i).type) for i in range(kind.num_fields)}
        return (
            Struct({key: value for key, value in fields.items() if value}) if fields and all(fields.values()) else None
        )
    for test, declared in (
        (at.is_boolean, Bool), (at.is_int8, Int8), (at.is_int16, Int16), (at.is_uint8, Int16), (at.is_int32, Int32), (at.is_uint16, Int32),
        (at.is_integer, Int64), (at.is_float16, Float32), (at.is_float32, Float32), (at.is_float64, Float64), (at.is_date, Date), (at.is_timestamp, Timestamp),
        (at.is_string, String), (at.is_large_string, String), (at.is_string_view, String),
        (at.is_binary, Bytes), (at.is_large_binary, Bytes), (at.is_fixed_size_binary, Bytes), (at.is_binary_view, Bytes),
    ):  # fmt: skip
        if test(kind):
            return declared
    return None


def _arrow(kind: DataType) -> pa.DataType:
    import pyarrow as pa

    if isinstance(kind, DecimalType):
        return pa.decimal128(kind.precision, kind.scale)
    if isinstance(kind, ListType):
        return pa.list_(kind.element.arrow)
    if isinstance(kind, StructType):
        return pa.struct([(name, inner.arrow) for name, inner in kind.fields])
    simple: dict[DataType, pa.DataType] = {
        Bool: pa.bool_(), Int8: pa.int8(), Int16: pa.int16(), Int32: pa.int32(), Int64: pa.int64(), Float32: pa.float32(), Float64: pa.float64(),
        String: pa.string(), Bytes: pa.binary(), Date: pa.date32(), Timestamp: pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    return simple[kind]


def copied(kind: DataType, value: Any) -> Any:
    """A value of the type that shares no list or dict with the given one.

    >>> value = [[1], None]
    >>> copy = copied(List(List(Int64)), value)
    >>> copy == value, copy[0] is value[0]
    (True, False)
    """
    if isinstance(kind, ListType) and value is not None:
        return [copied(kind.element, one) for one in value] if kind.element.is_nested else list(value)
    if isinstance(kind, StructType) and value is not None:
        inner = dict(kind.fields)
        return {name: copied(inner[name], one) for name, one in value.items()}
    return value


NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def is_name(text: str) -> bool:
    """Whether a text may name an object, a key or a field (semantics 7).

    >>> is_name("dep_delay"), is_name("a__b"), is_name("Delay")
    (True, False, False)
    """
    return bool(NAME.fullmatch(text)) and "__" not in text
