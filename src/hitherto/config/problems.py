"""What is wrong with settings, in words: where the setting stands, what it should be. Values are never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hitherto.errors import ConfigError, did_you_mean

FILE = "hitherto.toml"
PREFIX = "HITHERTO_"


@dataclass(frozen=True)
class Layer:
    """One origin of settings: its table, and how it calls a setting."""

    table: Mapping[str, Any]
    prefix: str = ""
    """`env.prod.` for the tables of an environment."""
    variables: bool = False

    def where(self, setting: str) -> str:
        """Where a person finds the setting."""
        return variable(setting) if self.variables else f"{FILE}: {self.prefix}{setting}"

    def sets(self, path: tuple[str, ...]) -> bool:
        """Whether the setting comes from here."""
        table: Any = self.table
        for name in path:
            if not isinstance(table, Mapping) or name not in table:
                return False
            table = table[name]
        return True


@dataclass(frozen=True)
class SettingProblem:
    """One setting that is wrong, and the layer that says so; None for settings given in Python."""

    text: str
    origin: Layer | None = None


def explain(error: ValidationError, model: type[BaseModel], layers: tuple[Layer, ...] = ()) -> list[SettingProblem]:
    """What pydantic found, each with its place and remedy."""
    details = error.errors(include_input=False, include_url=False)
    return [_explain(detail, model, layers) for detail in details]


def refuse(problems: list[SettingProblem]) -> None:
    """Raise ConfigError with all problems, if there are any."""
    texts = list(dict.fromkeys(problem.text for problem in problems))
    if len(texts) == 1:
        raise ConfigError(texts[0])
    if texts:
        raise ConfigError(f"{len(texts)} problems in the settings:\n" + "\n".join(f"- {text}" for text in texts))


def variable(setting: str) -> str:
    """The variable of a setting.

    >>> variable("online.url")
    'HITHERTO_ONLINE__URL'
    """
    return PREFIX + setting.upper().replace(".", "__")


def _explain(detail: ErrorDetails, model: type[BaseModel], layers: tuple[Layer, ...]) -> SettingProblem:
    path = tuple(str(part) for part in detail["loc"])
    setting = ".".join(path)
    origin = next((layer for layer in reversed(layers) if layer.sets(path)), layers[0] if layers else None)
    place = origin.where(setting) if origin else setting
    if detail["type"] == "extra_forbidden":
        text = f"{place} is no setting.{did_you_mean(path[-1], _fields(path[:-1], model))}"
    elif detail["type"] == "missing":
        text = f'{place} is missing. Add a line such as {path[-1]} = "nyc_flights".'
    elif detail["type"] == "model_type":
        text = f"{place} is a table, not a value: write [{setting}] and its settings below."
    else:
        message = detail["msg"].removeprefix("Value error, ").rstrip(".")
        text = f"{place}: {message[:1].lower()}{message[1:]}."
    return SettingProblem(text, origin)


def _fields(path: tuple[str, ...], model: type[BaseModel]) -> tuple[str, ...]:
    """The names that a table may hold."""
    for name in path:
        inner = model.model_fields[name].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        model = inner
    return tuple(model.model_fields)
