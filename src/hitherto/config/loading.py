"""Reading the settings: the file, the tables of an environment, the variables."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsError

from hitherto.config.problems import FILE, PREFIX, Layer, SettingProblem, explain, refuse, variable
from hitherto.config.settings import Config, Settings, known_settings, split_credentials
from hitherto.errors import ConfigError, did_you_mean

CHOICE = f"{PREFIX}ENV"
# What the command line reads by itself; it is no setting of a project.
DEBUG = f"{PREFIX}DEBUG"
CREDENTIALS = ("username", "password", "password_file")
# Kubernetes gives every container of a name space variables about a service; one called "hitherto" makes these.
_KUBERNETES = re.compile(r"HITHERTO_(SERVICE_(HOST|PORT)(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?)")


class _Environment(Settings, BaseSettings):  # type: ignore[misc]  # pydantic merges the bases' model_config
    """The settings as pydantic-settings looks for them in the environment."""


def load(repo_path: Path, *, env: str | None) -> Config:
    """The settings of a repo. Raises ConfigError with all that is wrong, in environments that are not chosen too."""
    document = _read(repo_path / FILE)
    problems: list[SettingProblem] = []
    overlays = _overlays(document.pop("env", {}), problems)
    base, variables = Layer(document), Layer(_variables(problems), variables=True)
    for overlay in overlays.values():
        problems += [problem for problem in check(base, overlay) if problem.origin is overlay]
    chosen = env or os.environ.get(CHOICE) or None
    layers = [base]
    if chosen in overlays:
        layers.append(overlays[chosen])
    elif chosen is not None:
        who = "The environment" if env else f"{CHOICE}: the environment"
        hint = f"{did_you_mean(chosen, overlays)} Write [env.{chosen}] there."
        problems.append(SettingProblem(f"{who} {chosen!r} has no table in {FILE}.{hint}"))
    problems += check(*layers, variables)
    refuse(problems)
    return Config(**merge(*layers, variables), repo_path=repo_path, env=chosen)


def check(*layers: Layer) -> list[SettingProblem]:
    """What is wrong with layers of settings."""
    try:
        Settings.model_validate(merge(*layers))
    except ValidationError as error:
        return explain(error, Settings, layers)
    return []


def merge(*layers: Layer) -> dict[str, Any]:
    """Later layers over earlier ones, setting by setting."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _lay(merged, layer.table)
    return merged


def _lay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    if _has_credentials(above):
        # Another password replaces the way in as a whole, be it a file, a password or a part of the URL.
        for name in CREDENTIALS:
            below.pop(name, None)
        if isinstance(below.get("url"), str):
            below["url"] = split_credentials(below["url"])[0]
    for name, value in above.items():
        if isinstance(value, Mapping):
            inner = below[name] = dict(below[name]) if isinstance(below.get(name), dict) else {}
            _lay(inner, value)
        else:
            below[name] = value


def _has_credentials(table: Mapping[str, Any]) -> bool:
    inside = isinstance(table.get("url"), str) and "password" in split_credentials(table["url"])[1]
    return inside or "password" in table or "password_file" in table


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"There is no {FILE} in {path.parent.absolute()}. Name the repo with --repo or repo_path=, or make one with `hitherto init`."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path} cannot be read: {reason}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}. Correct that line.") from None


def _overlays(tables: Any, problems: list[SettingProblem]) -> dict[str, Layer]:
    """The tables of each environment."""
    if not isinstance(tables, Mapping):
        problems.append(SettingProblem(f"{FILE}: env is a table of tables: write [env.NAME.online], for example."))
        return {}
    overlays = {}
    for name, table in tables.items():
        if isinstance(table, Mapping):
            overlays[name] = Layer(table, f"env.{name}.")
        else:
            text = f"{FILE}: env.{name} is a table, not a value: write [env.{name}.online], for example."
            problems.append(SettingProblem(text))
    return overlays


def _variables(problems: list[SettingProblem]) -> dict[str, Any]:
    """What HITHERTO_* says; a name that means nothing is a problem."""
    known = {variable(name) for name, _ in known_settings()}
    tables = {variable(name.partition(".")[0]) for name, _ in known_settings() if "." in name}
    for name in sorted(os.environ):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known | tables | {CHOICE, DEBUG} or _KUBERNETES.fullmatch(upper):
            continue
        # A name below a table is found by the table's own check.
        if upper.partition("__")[0] not in tables:
            problems.append(SettingProblem(f"{name} is no setting.{did_you_mean(upper, known)}"))
    source = EnvSettingsSource(
        _Environment, env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, case_sensitive=False
    )
    try:
        return dict(source())
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = variable(field[1]) if field else f"{PREFIX}*"
        text = f"{name} cannot be read: a whole table is a JSON object; or set one variable per setting."
        problems.append(SettingProblem(text))
        return {}
