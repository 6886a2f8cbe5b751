"""What a function says about itself: its parameters, its annotations, where it is and the hash of its source."""

from __future__ import annotations

import ast
import datetime as dt
import decimal
import hashlib
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hitherto.definitions.problems import report
from hitherto.errors import Location
from hitherto.types import Bool, Bytes, DataType, Date, DecimalType, ListType, String, StructType, Timestamp

_PLAIN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY)
_ANYTHING = (Any, object, inspect.Parameter.empty)
_UNIONS = (typing.Union, types.UnionType)


def refuse_strange(function: Any, what: str, location: Location | None) -> None:
    """Complain about what cannot be called for a row: no function, a lambda, a coroutine, a generator."""
    if not inspect.isfunction(function):
        report(f"it decorates {function!r}, which is no function.", object=what, location=location)
    elif function.__name__ == "<lambda>":
        report("a lambda has no source of its own; write a function with def.", object=what, location=location)
    elif inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        report("its function is async or a generator; write one that returns.", object=what, location=location)


def parameters(function: Any, what: str, location: Location | None) -> tuple[str, ...]:
    """The names of the parameters, those that are given by position first; complains about *args, **kwargs and defaults."""
    if not inspect.isfunction(function):
        return ()
    found = inspect.signature(function).parameters.values()
    for one in found:
        if one.kind not in _PLAIN:
            report(f"its parameter {one} takes anything; name each input.", object=what, location=location)
        elif one.default is not inspect.Parameter.empty:
            report(
                f"its parameter {one.name!r} has a default, which is never used: every input is given, null as None.",
                object=what,
                location=location,
            )
    return tuple(one.name for one in found if one.kind in _PLAIN)


def import_path(function: Any) -> str:
    """`module:function`."""
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"


def source_hash(function: Any, what: str, location: Location | None) -> str:
    """SHA-256 of the function's text, from `def` on: its decorators are in the definition. Complains if there is no text."""
    if not inspect.isfunction(function):
        return ""
    try:
        text = _text(function)
    except (OSError, TypeError, SyntaxError):
        report("the source of its function cannot be read; define it in a file.", object=what, location=location)
        return ""
    return hashlib.sha256(text.encode()).hexdigest()


def _text(function: Callable[..., Any]) -> str:
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    defined = next(
        one for one in ast.walk(ast.parse("\n".join(lines))) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    # Neither blanks at the end of lines nor the kind of line end change what a function does.
    return "\n".join(line.rstrip() for line in lines[defined.lineno - 1 : defined.end_lineno])


# -- annotations -----------------------------------------------------------------------------------------------------


def hints_of(function: Callable[..., Any]) -> Mapping[str, Any] | str:
    """Parameter (and `return`) -> its annotation, resolved; or what is wrong with them."""
    try:
        return typing.get_type_hints(function)
    except Exception as error:  # noqa: BLE001  (an annotation is a user's expression; it can raise anything)
        said = str(error) if isinstance(error, NameError) else type(error).__name__
        return f"its annotations cannot be resolved ({said}); import at run time what they name."


def takes(annotation: Any, kind: DataType) -> bool:
    """Whether an annotation can be given values of a declared type. `float` and `float | None` both can: null is None."""
    if annotation in _ANYTHING:
        return True
    if typing.get_origin(annotation) in _UNIONS:
        return any(takes(one, kind) for one in typing.get_args(annotation))
    if typing.get_origin(annotation) is typing.Annotated:
        return takes(typing.get_args(annotation)[0], kind)
    origin, inner = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if isinstance(kind, ListType):
        return origin in (list, Sequence) and (not inner or takes(inner[0], kind.element))
    if isinstance(kind, StructType):
        return origin in (dict, Mapping) or _is_typed_dict(origin)
    return origin in _python_types(kind)


def returns(annotation: Any, kind: DataType) -> bool:
    """Whether what is annotated so can be a value of a declared type; numbers of all kinds can be others, if none is changed by it."""
    if typing.get_origin(annotation) in _UNIONS:
        return any(returns(one, kind) for one in typing.get_args(annotation))
    return takes(annotation, kind) or (kind.is_number and annotation in (int, float, decimal.Decimal))


def returns_features(annotation: Any) -> bool:
    """Whether an annotation of what is returned is a dict of features."""
    origin = typing.get_origin(annotation) or annotation
    if origin in _UNIONS:
        return any(returns_features(one) for one in typing.get_args(annotation))
    return annotation in _ANYTHING or origin in (dict, Mapping) or _is_typed_dict(origin)


def python_name(kind: DataType) -> str:
    """The Python type of a declared one, for messages."""
    if isinstance(kind, ListType):
        return f"list[{python_name(kind.element)}]"
    return "dict" if isinstance(kind, StructType) else _python_types(kind)[0].__name__


def _is_typed_dict(annotation: Any) -> bool:
    return isinstance(annotation, type) and typing.is_typeddict(annotation)


def _python_types(kind: DataType) -> tuple[type, ...]:
    if kind.is_integer:
        return (int, float)
    if kind.is_float:
        return (float,)
    if isinstance(kind, DecimalType):
        return (decimal.Decimal,)
    table = {Bool: (bool,), String: (str,), Bytes: (bytes,), Date: (dt.date,), Timestamp: (dt.datetime,)}
    return table[kind]
