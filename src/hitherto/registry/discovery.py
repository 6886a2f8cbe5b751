"""From a repo's *.py files to its definitions. Every load imports afresh and leaves the interpreter as it was."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from hitherto.definitions import rules
from hitherto.definitions.collection import Definitions
from hitherto.definitions.entity import Entity
from hitherto.definitions.feature_service import FeatureService
from hitherto.definitions.feature_view import FeatureView, FeatureViewProjection
from hitherto.definitions.field import Field
from hitherto.definitions.on_demand import OnDemandFeatureView, OnDemandProjection, RequestSource
from hitherto.definitions.problems import collecting
from hitherto.definitions.source import ParquetSource
from hitherto.errors import DefinitionError, Location, Problem
from hitherto.on_demand import rules as on_demand_rules
from hitherto.registry import json_format

# Loading changes sys.path and sys.modules for a moment: one at a time.
_loading = threading.RLock()
_folders: list[Path] = []


def load(repo: Path) -> Definitions:
    """The definitions of a repo.

    Imported are the *.py files of the folder and of the packages in it (folders with an `__init__.py`); not `test_*.py`,
    `conftest.py` and names that begin with a dot or an underscore. Collected are the objects of their module level, alone or
    in a list, tuple or dict, and those that these are made of.

    Args:
        repo: The folder.

    Raises:
        DefinitionError: With every problem of the repo, each with file and line.
    """
    folder = Path(repo).resolve()
    if not folder.is_dir():
        raise DefinitionError([Problem("There is no such folder.", f"repo {str(repo)!r}")])
    with _loading, collecting() as problems, _imports_from(folder):
        for name, file in _modules(folder):
            problem = _import(name, file, folder)
            if problem is not None:
                problems.append(problem)
        found = _unfold(one for module in _loaded(folder) for one in _module_objects(module))
    _move(found, _shown)
    definitions, doubles = _gather(found)
    _raise([*problems, *doubles, *_checked(definitions)], definitions)
    # Relative to the repo, so that the registry means the same on another machine.
    _move(found, lambda file: os.path.relpath(file, folder) if _is_within(os.path.abspath(file), folder) else file)
    return definitions


def collect(objects: Iterable[Any]) -> Definitions:
    """The definitions that are among these objects, and those that they are made of: what a notebook applies.

    Raises:
        DefinitionError: With every problem between them.
    """
    if not isinstance(objects, Iterable) or isinstance(objects, _KINDS):  # a view has [...], so Python would iterate it
        raise DefinitionError([Problem("Definitions are given as a list: [entity, view, service].")])
    listed = list(objects)
    strangers = [one for one in listed if not isinstance(one, _KINDS)]
    definitions, doubles = _gather(_unfold(listed))
    _raise(
        [
            *(
                Problem(
                    f"{one!r} is not an entity, a source, a feature view, an on-demand feature view or a feature service."
                )
                for one in strangers
            ),
            *doubles,
            *_checked(definitions),
        ],
        definitions,
    )
    return definitions


# -- importing -------------------------------------------------------------------------------------------------------


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """(module name, file) of all that is imported, in the order of names."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_", "test_")) or path.name == "conftest.py":
            continue
        if path.is_file() and path.suffix == ".py":
            yield path.stem, path
        elif path.is_dir() and (path / "__init__.py").is_file():
            yield path.name, path / "__init__.py"
            for name, file in _modules(path):
                yield f"{path.name}.{name}", file


def _import(name: str, file: Path, folder: Path) -> Problem | None:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == "hitherto":
        owner = "Hitherto" if top == "hitherto" else "Python's standard library"
        return Problem(
            f"the name {top!r} belongs to {owner}, so it cannot be imported. Rename it.",
            location=Location(str(file), 1),
        )
    if not all(part.isidentifier() for part in name.split(".")):
        return Problem(
            f"{file.name!r} is not a name that Python can import. Rename it.", location=Location(str(file), 1)
        )
    try:
        importlib.import_module(name)
    except SyntaxError as error:
        place = Location(error.filename or str(file), error.lineno or 1)
        return Problem(f"it is not Python: {error.msg}.", location=place)
    # SystemExit too: a script with sys.exit() at its end must not end the command.
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a user's module can raise anything; it becomes a problem)
        return Problem(_cause(error), location=_place(error, file, folder))
    return None


def _cause(error: BaseException) -> str:
    if isinstance(error, DefinitionError):
        return "; ".join(problem.message for problem in error.problems)
    if isinstance(error, SystemExit):
        return "it exits when it is imported; put what it runs under `if __name__ == '__main__':`."
    text = str(error)
    return f"the import failed with {type(error).__name__}{': ' if text else ''}{text}"


def _place(error: BaseException, file: Path, folder: Path) -> Location:
    """The innermost line of the repo that the error passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_within(frame.filename, folder)]
    return Location(frames[-1].filename, frames[-1].lineno or 1) if frames else Location(str(file), 1)


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Compiles the text on disk: a cached .pyc may be of the text of the same second, and a repo may be read-only."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code = self.source_to_code(self.get_data(path), path)
        assert isinstance(code, CodeType)
        return code


class _RepoFinder:
    """Finds the repo's modules, before those of the same name elsewhere, but never in place of Python's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module of the repo, or None."""
        if fullname.partition(".")[0] in sys.stdlib_module_names:
            return None
        for entry in [str(self._folder)] if path is None else list(path):
            if not _is_within(entry, self._folder):
                continue
            finder = importlib.machinery.FileFinder(entry, (_FreshLoader, importlib.machinery.SOURCE_SUFFIXES))
            spec = finder.find_spec(fullname)
            if spec is not None and spec.loader is not None:
                return spec
        return None


@contextmanager
def _imports_from(folder: Path) -> Iterator[None]:
    """The repo's modules can be imported; afterwards sys.modules, sys.path and sys.meta_path are as before."""
    if _folders:
        raise DefinitionError(
            [
                Problem(
                    "it loads a repo while a repo is being loaded; put what it runs under `if __name__ == '__main__':`."
                )
            ]
        )
    tops = {name.partition(".")[0] for name, _ in _modules(folder)} - sys.stdlib_module_names - {"hitherto"}
    hidden = {name: module for name, module in list(sys.modules.items()) if name.partition(".")[0] in tops}
    hidden |= _owned(folder)
    for name in hidden:
        del sys.modules[name]
    finder = _RepoFinder(folder)
    # At the end of the path, for folders without an __init__.py; what the repo has before others, the finder finds.
    sys.path.append(str(folder))
    sys.meta_path.insert(0, finder)
    _folders.append(folder)
    try:
        yield
    finally:
        _folders.remove(folder)
        sys.meta_path.remove(finder)
        sys.path.remove(str(folder))
        for name in _owned(folder):
            del sys.modules[name]
        sys.modules.update(hidden)


def _loaded(folder: Path) -> list[ModuleType]:
    """The repo's modules that are imported now, in the order of their names."""
    return [module for _, module in sorted(_owned(folder).items())]


def _owned(folder: Path) -> dict[str, ModuleType]:
    """The imported modules that are the repo's: found in its folder, by a path from its folder.

    Not a virtual environment in it, nor Hitherto's own source code beneath it.
    """
    owned = {}
    for name, module in list(sys.modules.items()):
        file, top = getattr(module, "__file__", None), name.partition(".")[0]
        if top not in ("__main__", "hitherto") and isinstance(file, str) and _is_within(file, folder):
            expected = folder.joinpath(*name.split("."))
            if file in (f"{expected}.py", str(expected / "__init__.py")):
                owned[name] = module
    return owned


def _is_within(path: str, folder: Path) -> bool:
    return path == str(folder) or path.startswith(f"{folder}{os.sep}")


# -- collecting ------------------------------------------------------------------------------------------------------

_VIEWS = (FeatureView, FeatureViewProjection, OnDemandFeatureView, OnDemandProjection)
# A request source is no object of the registry by itself: it stands in the on-demand views that take it.
_KINDS = (Entity, ParquetSource, *_VIEWS, RequestSource, FeatureService)


def _module_objects(module: ModuleType) -> Iterator[Any]:
    for value in list(vars(module).values()):
        if isinstance(value, _KINDS):
            yield value
        elif isinstance(value, list | tuple | Mapping):
            held = value.values() if isinstance(value, Mapping) else value
            yield from (one for one in list(held) if isinstance(one, _KINDS))


def _gather(objects: Iterable[Any]) -> tuple[Definitions, list[Problem]]:
    """By kind and name, and the problems of names that have two definitions."""
    entities: dict[str, Entity] = {}
    sources: dict[str, ParquetSource] = {}
    views: dict[str, FeatureView] = {}
    on_demand: dict[str, OnDemandFeatureView] = {}
    services: dict[str, FeatureService] = {}
    tables: dict[type, tuple[str, dict[str, Any]]] = {
        Entity: ("entity", entities),
        ParquetSource: ("source", sources),
        FeatureView: ("feature view", views),
        OnDemandFeatureView: ("on-demand feature view", on_demand),
        FeatureService: ("feature service", services),
    }
    problems: list[Problem] = []
    for one in objects:
        if isinstance(one, FeatureView) and not isinstance(one.source, ParquetSource):
            continue  # it has said so itself when it was built
        if isinstance(one, RequestSource):
            continue
        kind, table = tables[type(one)]
        known = table.setdefault(one.name, one)
        if known is not one and known != one:
            hint = "Give one of them another name=." if kind == "source" else ""
            problems.append(rules.two_definitions(kind, one.name, known.location, one.location, hint))
    return Definitions(entities, sources, views, on_demand, services), problems


def _unfold(objects: Iterable[Any]) -> list[Any]:
    """Each object once, with what it is made of before it."""
    found: dict[int, Any] = {}

    def visit(one: Any) -> None:
        if id(one) in found:
            return
        if isinstance(one, FeatureView):
            for part in (*one.entities, *_sources_of(one)):
                visit(part)
        elif isinstance(one, FeatureViewProjection | OnDemandProjection):
            visit(one.view)
            return
        elif isinstance(one, FeatureService | OnDemandFeatureView):
            for projection in one.projections:
                visit(projection)
        if isinstance(one, _KINDS):
            found[id(one)] = one

    for one in objects:
        visit(one)
    return list(found.values())


def _sources_of(view: FeatureView) -> Sequence[ParquetSource]:
    """A view's sources; none of one that has said itself that it has none."""
    return [source for source in view.all_sources.values() if isinstance(source, ParquetSource)]


def _checked(definitions: Definitions) -> Iterator[Problem]:
    yield from rules.check(definitions)
    yield from on_demand_rules.check(definitions)
    yield from _unstorable(definitions)


def _unstorable(definitions: Definitions) -> Iterator[Problem]:
    """Values that the registry's JSON cannot hold."""
    for view in definitions.feature_views.values():
        try:
            json_format.to_json(view)
        except DefinitionError as error:
            yield from error.problems


# -- problems and places ---------------------------------------------------------------------------------------------


def _raise(problems: Sequence[Problem], definitions: Definitions) -> None:
    """Raise all problems, each once, in the order of files and lines, beside the views that have none."""
    if not problems:
        return
    shown = [
        replace(one, location=one.location and Location(_shown(one.location.file), one.location.line))
        for one in problems
    ]
    places = {one.location for one in shown}
    sound = [view for view in definitions.feature_views.values() if not places.intersection(_places_in(view))]
    raise DefinitionError(sorted(dict.fromkeys(shown), key=_place_of), sound=sound)


def _place_of(problem: Problem) -> tuple[str, int]:
    return (problem.location.file, problem.location.line) if problem.location else ("", 0)


def _shown(file: str) -> str:
    """The path as the reader's terminal can open it, relative where that is shorter."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


def _places_in(view: FeatureView) -> Iterator[Location | None]:
    """Where a view and its parts are defined."""
    yield from (view.location, *(source.location for source in _sources_of(view)))
    yield from (entity.location for entity in view.entities)
    yield from (field.location for field in view.schema)
    yield from (one.location for one in view.aggregations)


def _move(objects: Iterable[Any], path: Callable[[str], str]) -> None:
    """Write the locations of objects, and of what they are made of, with other paths."""
    moved: dict[int, Any] = {}

    def move(one: Any) -> None:
        if id(one) in moved:
            return
        moved[id(one)] = one
        if getattr(one, "location", None) is not None:
            object.__setattr__(one, "location", Location(path(one.location.file), one.location.line))
        for part in _parts(one):
            move(part)

    for one in objects:
        move(one)


def _parts(definition: Any) -> Sequence[Any]:
    if isinstance(definition, FeatureView):
        return (
            *definition.entities,
            *_sources_of(definition),
            *definition.schema,
            *definition.aggregations,
            *definition.expect,
        )
    if isinstance(definition, FeatureViewProjection | OnDemandProjection):
        return (definition.view,)
    if isinstance(definition, OnDemandFeatureView):
        return (*definition.sources, *definition.schema)
    if isinstance(definition, RequestSource):
        return definition.schema
    if isinstance(definition, FeatureService):
        return definition.projections
    return definition.expect if isinstance(definition, Field) else ()
