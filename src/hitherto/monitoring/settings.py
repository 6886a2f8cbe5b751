"""The settings in force: each with its value and where it comes from. Secrets are named, never shown."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from hitherto.config import Config
from hitherto.config.problems import FILE, variable
from hitherto.config.settings import known_settings
from hitherto.errors import ConfigError

HIDDEN = "(set, not shown)"


@dataclass(frozen=True)
class Setting:
    """One setting. `origin` is a file and table, a variable, "default" or "given in Python"."""

    name: str
    value: str
    origin: str

    def __str__(self) -> str:
        return f"{self.name} = {self.value} ({self.origin})"


def settings_in_force(config: Config) -> tuple[Setting, ...]:
    """Every setting that has a value, in the order of the manual."""
    origins = _Origins(config)
    found = []
    for name, _ in known_settings():
        table, _, last = name.rpartition(".")
        holder = getattr(config, table) if table else config
        value = getattr(holder, last)
        if value is not None:
            text = HIDDEN if isinstance(value, SecretStr) else str(value)
            found.append(Setting(name, text, origins.of(name, given=last in holder.model_fields_set)))
    return tuple(found)


class _Origins:
    """Where settings come from, if the file and the environment give just this config."""

    def __init__(self, config: Config) -> None:
        self._env = config.env
        self._document: Mapping[str, Any] = {}
        self._loaded = False
        try:
            self._loaded = Config.load(config.repo_path, env=config.env) == config
            self._document = tomllib.loads((config.repo_path / FILE).read_text(encoding="utf-8"))
        except (ConfigError, OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            # Settings that were built by hand need no file.
            self._loaded = False

    def of(self, name: str, *, given: bool) -> str:
        if not self._loaded:
            return "given in Python" if given else "default"
        for one in _variables(name):
            if one in {known.upper() for known, value in os.environ.items() if value}:
                return one
        overlay = f"env.{self._env}."
        if self._env and _says(self._document, overlay + name):
            return f"{FILE}, [{(overlay + name).rpartition('.')[0]}]"
        if _says(self._document, name):
            return FILE
        # A user name or a password may have come out of the URL.
        return (
            self.of("online.url", given=given)
            if given and name.startswith("online.") and name != "online.url"
            else "default"
        )


def _variables(name: str) -> Iterator[str]:
    """The variable of a setting, and that of its whole table."""
    yield variable(name)
    if "." in name:
        yield variable(name.partition(".")[0])


def _says(document: Mapping[str, Any], name: str) -> bool:
    table: Any = document
    for part in name.split("."):
        if not isinstance(table, Mapping) or part not in table:
            return False
        table = table[part]
    return True
