"""On-demand feature views: features that a function computes when they are asked for, from other features and the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hitherto.definitions import signature
from hitherto.definitions.feature_view import FeatureView, FeatureViewProjection
from hitherto.definitions.field import Field
from hitherto.definitions.problems import check_name, here, report, taken_tags
from hitherto.errors import FunctionError, Location, did_you_mean
from hitherto.types import DataType, Timestamp

Mode = Literal["python", "polars"]
MODES: tuple[Mode, ...] = ("python", "polars")
NOW = "now"
"""The parameter that is the time of the entity row in training, the instant of the request in a lookup."""


@dataclass(frozen=True)
class RequestSource:
    """What only the request knows: fields that come with the entity rows.

    Args:
        name: Its name (semantics 7).
        schema: The fields, with their declared types. Each is a column of the entity rows.
        description: For people; it changes nothing.

    Raises:
        DefinitionError: With the file and line of the definition.

    >>> from hitherto.types import Timestamp
    >>> RequestSource("trip", schema=[Field("departs_at", Timestamp)]).feature_names
    ('departs_at',)
    """

    name: str
    schema: Sequence[Field] = field(kw_only=True)
    description: str = field(default="", kw_only=True)
    location: Location | None = field(default_factory=here, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        what = f"request source {self.name!r}"
        check_name(self.name, object=what, location=self.location)
        object.__setattr__(self, "schema", _fields(self.schema, what, self.location))
        for one in self.schema:
            if one.expect or one.source_column or one.default is not None:
                report(
                    f"its field {one.name!r} has expect=, source_column= or default=, which are for rows that a run reads; "
                    "a request has none.",
                    object=what,
                    location=one.location or self.location,
                )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of its fields."""
        return tuple(one.name for one in self.schema)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name))


@dataclass(frozen=True)
class OnDemandFeatureView:
    """Features that a function computes when they are asked for. Made by `@on_demand_feature_view`.

    The registry keeps where the function is (`import_path`) and the SHA-256 of its source (`source_hash`), never its code.
    """

    name: str
    sources: Sequence[
        FeatureView | FeatureViewProjection | OnDemandFeatureView | OnDemandProjection | RequestSource
    ] = field(kw_only=True)
    schema: Sequence[Field] = field(kw_only=True)
    mode: Mode = field(default="python", kw_only=True)
    parameters: Sequence[str] = field(kw_only=True)
    """The names of the function's parameters, in order; `inputs` says what each is given."""
    import_path: str = field(kw_only=True)
    """`module:function`, as the repo's modules name it."""
    source_hash: str = field(kw_only=True)
    function: Callable[..., Any] | None = field(default=None, kw_only=True, compare=False, repr=False)
    """The function, where the definition comes from Python; None where it comes from the registry."""
    description: str = field(default="", kw_only=True)
    owner: str | None = field(default=None, kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    location: Location | None = field(default_factory=here, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, object=self._what, location=self.location)
        object.__setattr__(self, "sources", tuple(self._known_sources()))
        object.__setattr__(self, "schema", _fields(self.schema, self._what, self.location))
        object.__setattr__(self, "parameters", tuple(self.parameters))
        object.__setattr__(self, "tags", taken_tags(self.tags, object=self._what, location=self.location))
        if self.mode not in MODES:
            self._complain(f"mode={self.mode!r} is neither 'python' nor 'polars'.")
        for one in self.schema:
            if one.expect or one.source_column:
                self._complain(
                    f"its field {one.name!r} has expect= or source_column=, which are for rows that a run reads; nothing is read here."
                )
        names = [source.name for source in self.sources]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._complain(f"two of its sources are called {name!r}; give one of them another name.")
        way = self._way_to_itself()
        if way:
            self._complain(f"it is built on itself: {' -> '.join(way)}. Break the circle.")

    @property
    def _what(self) -> str:
        return f"on-demand feature view {self.name!r}"

    def _complain(self, message: str) -> None:
        report(message, object=self._what, location=self.location)

    def _known_sources(self) -> Iterator[Any]:
        if not isinstance(self.sources, list | tuple):
            self._complain("sources= is a list: sources=[view, RequestSource(...)].")
            return
        for one in self.sources:
            if isinstance(one, FeatureView):
                yield FeatureViewProjection(one, location=one.location)
            elif isinstance(one, OnDemandFeatureView):
                yield OnDemandProjection(one, location=one.location)
            elif isinstance(one, FeatureViewProjection | OnDemandProjection | RequestSource):
                yield one
            else:
                self._complain(f"its source {one!r} is neither a feature view nor a RequestSource.")

    def _way_to_itself(self) -> tuple[str, ...]:
        """The names from this view to another of its name that it is built on: names are what views are known by."""
        waiting: list[tuple[OnDemandFeatureView, ...]] = [(self,)]
        while waiting:
            way = waiting.pop()
            for one in way[-1].projections:
                if isinstance(one, OnDemandProjection):
                    if one.name == self.name:
                        return (*(view.name for view in way), one.name)
                    waiting.append((*way, one.view))
        return ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, in the order of the schema."""
        return tuple(one.name for one in self.schema)

    @property
    def features(self) -> tuple[Field, ...]:
        """The features, as a feature view has them."""
        return tuple(self.schema)

    @property
    def projections(self) -> tuple[FeatureViewProjection | OnDemandProjection, ...]:
        """Its sources that are views."""
        return tuple(one for one in self.sources if isinstance(one, FeatureViewProjection | OnDemandProjection))

    @property
    def request_sources(self) -> tuple[RequestSource, ...]:
        """Its sources that only the request knows."""
        return tuple(one for one in self.sources if isinstance(one, RequestSource))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What each parameter is given, in order; of parameters that fit nothing there is none (the rules report them)."""
        bound = (bind(self, name) for name in self.parameters)
        return tuple(one for one in bound if isinstance(one, Input))

    def field(self, name: str) -> Field | None:
        """The field of a name, or None."""
        return next((one for one in self.schema if one.name == name), None)

    def __getitem__(self, features: Sequence[str]) -> OnDemandProjection:
        """Some of the features: `view[["minutes_to_departure"]]`."""
        chosen = (features,) if isinstance(features, str) else tuple(features)
        return OnDemandProjection(self, features=chosen)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself, so that it can be tried by hand. Raises FunctionError if it is not at hand."""
        if self.function is None:
            raise FunctionError(f"{self._what} comes from the registry, which holds no code; import it from the repo.")
        return self.function(*args, **kwargs)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name))


@dataclass(frozen=True)
class OnDemandProjection:
    """Some features of an on-demand feature view, as a service or another on-demand view takes them."""

    view: OnDemandFeatureView
    features: tuple[str, ...] | None = None
    location: Location | None = field(default_factory=here, compare=False, repr=False)

    def __post_init__(self) -> None:
        what = f"on-demand feature view {self.view.name!r}"
        for feature in self.features or ():
            if feature not in self.view.feature_names:
                message = f"it has no feature {feature!r}.{did_you_mean(feature, self.view.feature_names)}"
                report(message, object=what, location=self.location)
        if self.features is not None and not self.features:
            report("it gives no feature at all.", object=what, location=self.location)

    @property
    def name(self) -> str:
        """The view's name: there is nothing to be joined twice, so no other."""
        return self.view.name

    @property
    def alias(self) -> None:
        """None, as for every view under its own name."""
        return None

    @property
    def join_key_map(self) -> dict[str, str]:
        """Empty: keys belong to the views that its inputs come from."""
        return {}

    @property
    def key_columns(self) -> dict[str, str]:
        """Empty, for the same reason."""
        return {}

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features that it takes, in order."""
        return self.view.feature_names if self.features is None else self.features

    def __getitem__(self, features: Sequence[str]) -> OnDemandProjection:
        """Some of the features."""
        chosen = (features,) if isinstance(features, str) else tuple(features)
        return replace(self, features=chosen, location=here())

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name, self.features))


Source = FeatureView | FeatureViewProjection | OnDemandFeatureView | OnDemandProjection | RequestSource
Held = FeatureViewProjection | OnDemandProjection | RequestSource
"""What `sources` holds once a view is built: views as projections."""


@dataclass(frozen=True)
class Input:
    """What a parameter is given: a feature or request field of a source, or (without a source) the instant."""

    parameter: str
    source: Held | None
    feature: str
    dtype: DataType

    @property
    def is_now(self) -> bool:
        """Whether it is the instant."""
        return self.source is None


def on_demand_feature_view(
    *,
    sources: Sequence[Source],
    schema: Sequence[Field],
    mode: Mode = "python",
    name: str | None = None,
    description: str | None = None,
    owner: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Any]], OnDemandFeatureView]:
    """Make a function a feature view whose features are computed when they are asked for, in training sets and lookups alike.

    The function's parameters are named like what they are given: a feature or request field of one of the sources
    (`view__feature` where two have the name), or `now`, the time of the entity row or of the request.

    Args:
        sources: Feature views, whole or in part, other on-demand feature views, and RequestSources.
        schema: The features, with their declared types.
        mode: "python": called for each row with Python values (None for null), returns a dict of features, or the bare value where
            there is one feature; annotated, and checked. "polars": called once with Polars expressions, returns a dict of
            expressions, or one.
        name: Its name; the function's if not given.
        description: For people; the first line of the function's docstring if not given.
        owner, tags: For people; they change nothing.

    Raises:
        DefinitionError: With the file and line of the definition.

    >>> from hitherto.types import Float64
    >>> order = RequestSource("order", schema=[Field("amount", Float64)])
    >>> @on_demand_feature_view(sources=[order], schema=[Field("amount_in_cents", Float64)])
    ... def cents(amount: float | None) -> float | None:
    ...     return None if amount is None else amount * 100
    >>> cents.name, cents(1.5)
    ('cents', 150.0)
    """
    location = here()

    def decorate(function: Callable[..., Any]) -> OnDemandFeatureView:
        chosen = name if name is not None else getattr(function, "__name__", "")
        what = f"on-demand feature view {chosen!r}"
        signature.refuse_strange(function, what, location)
        told = (function.__doc__ or "").strip().partition("\n")[0]
        return OnDemandFeatureView(
            chosen,
            sources=sources,
            schema=schema,
            mode=mode,
            parameters=signature.parameters(function, what, location),
            import_path=signature.import_path(function),
            source_hash=signature.source_hash(function, what, location),
            function=function,
            description=told if description is None else description,
            owner=owner,
            tags=tags or {},
            location=location,
        )

    return decorate


def bind(view: OnDemandFeatureView, parameter: str) -> Input | str:
    """What a parameter is given, or what is wrong with it."""
    if parameter == NOW:
        return _instant(view)
    found: list[Input] = []
    offered: list[str] = []
    for source in (*view.projections, *view.request_sources):
        kinds = {one.name: one.dtype for one in offered_by(source)}
        for feature in source.feature_names:
            offered.append(feature)
            if parameter == f"{source.name}__{feature}":
                return Input(parameter, source, feature, kinds[feature])
            if parameter == feature:
                found.append(Input(parameter, source, feature, kinds[feature]))
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(f"{one.source.name}__{one.feature}" for one in found if one.source is not None)
        return f"its parameter {parameter!r} could be given by several of its sources; call it {names}."
    return (
        f"its parameter {parameter!r} is neither an input of its sources nor {NOW!r}.{did_you_mean(parameter, offered)}"
    )


def _instant(view: OnDemandFeatureView) -> Input | str:
    """The instant, unless an input is called like it: nobody would see which of the two the function is given."""
    for source in (*view.projections, *view.request_sources):
        if NOW in source.feature_names:
            return (
                f"its parameter {NOW!r} is the instant, but {source.name!r} has an input of that name: call the parameter "
                f"{source.name}__{NOW} if that is meant; if the instant is meant, rename the input or leave it out of sources=."
            )
    return Input(NOW, None, NOW, Timestamp)


def offered_by(source: Held) -> Sequence[Field]:
    """All fields of a source, those that a projection leaves out included."""
    return source.schema if isinstance(source, RequestSource) else source.view.features


def _fields(value: Any, what: str, location: Location | None) -> tuple[Field, ...]:
    listed = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    fields = tuple(one for one in listed if isinstance(one, Field))
    if len(fields) < len(listed):
        report("schema= is a list of fields: schema=[Field(...), ...].", object=what, location=location)
    elif not fields:
        report("it has no fields: give schema=[Field(...), ...].", object=what, location=location)
    seen: set[str] = set()
    for one in fields:
        if one.name in seen:
            report(f"the field {one.name!r} stands twice in its schema.", object=what, location=location)
        seen.add(one.name)
    return fields
