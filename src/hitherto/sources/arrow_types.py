"""Arrow's types as sources see them: what is stored in many ways is one type, and some types hold others."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as at

INSTANT = pa.timestamp("us", tz="UTC")


def plain(kind: pa.DataType) -> pa.DataType:
    """A type without the ways in which it may be stored: dictionaries, large and view layouts, units and zones."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain(kind.storage_type)
    if at.is_dictionary(kind) or at.is_run_end_encoded(kind):
        return plain(kind.value_type)
    if at.is_timestamp(kind):
        return INSTANT
    if at.is_date(kind):
        return pa.date32()
    if at.is_large_string(kind) or at.is_string_view(kind):
        return pa.string()
    if at.is_large_binary(kind) or at.is_binary_view(kind) or at.is_fixed_size_binary(kind):
        return pa.binary()
    if at.is_float16(kind):
        return pa.float32()
    if is_list(kind):
        return pa.list_(plain(kind.value_type))
    if at.is_struct(kind):
        return pa.struct([(kind.field(n).name, plain(kind.field(n).type)) for n in range(kind.num_fields)])
    return kind


def is_list(kind: pa.DataType) -> bool:
    """Whether this is a list in any of Arrow's layouts."""
    return bool(
        at.is_list(kind) or at.is_large_list(kind) or at.is_fixed_size_list(kind) or isinstance(kind, pa.ListViewType)
    )


def widen(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The plain type that holds every value of both, bit for bit; None if there is none.

    >>> widen(pa.int32(), pa.int64())
    DataType(int64)
    """
    if one == other or at.is_null(other):
        return one
    if at.is_null(one):
        return other
    if at.is_integer(one) and at.is_integer(other):
        return _wider_integer(one, other)
    if at.is_floating(one) and at.is_floating(other):
        return pa.float64()
    if {one, other} == {pa.date32(), INSTANT}:
        return INSTANT
    if at.is_decimal(one) and at.is_decimal(other):
        return _wider_decimal(one, other)
    if is_list(one) and is_list(other):
        inner = widen(one.value_type, other.value_type)
        return pa.list_(inner) if inner is not None else None
    if at.is_struct(one) and at.is_struct(other):
        return _wider_struct(one, other)
    return _mixed_numbers(one, other) or _mixed_numbers(other, one)


def _wider_integer(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if at.is_signed_integer(one) == at.is_signed_integer(other):
        return max(one, other, key=lambda kind: int(kind.bit_width))
    signed, unsigned = (one, other) if at.is_signed_integer(one) else (other, one)
    bits = max(signed.bit_width, unsigned.bit_width * 2)
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(bits)


def _mixed_numbers(whole: pa.DataType, real: pa.DataType) -> pa.DataType | None:
    # pandas turns a column of integers into doubles where one is missing; a double holds 32-bit integers exactly.
    if at.is_integer(whole) and at.is_floating(real) and whole.bit_width <= 32:
        return pa.float64()
    return None


def _wider_decimal(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    scale = max(one.scale, other.scale)
    digits = max(one.precision - one.scale, other.precision - other.scale) + scale
    return pa.decimal128(digits, scale) if digits <= 38 else None


def _wider_struct(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    names = [one.field(n).name for n in range(one.num_fields)]
    if sorted(names) != sorted(other.field(n).name for n in range(other.num_fields)):
        return None
    fields = [(name, widen(one.field(name).type, other.field(name).type)) for name in names]
    return pa.struct(fields) if all(kind is not None for _, kind in fields) else None
