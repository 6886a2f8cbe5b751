"""What only running a function can show of it, said when it is planned: the expressions of functions in polars mode."""

from __future__ import annotations

from collections.abc import Iterator

from hitherto.definitions.collection import Definitions
from hitherto.errors import MissingExtraError, Problem


def check(definitions: Definitions) -> Iterator[Problem]:
    """The problems of functions in polars mode, on made-up rows. Views that have other problems already are left out."""
    for view in definitions.on_demand_feature_views.values():
        if view.mode != "polars" or view.function is None or len(view.inputs) < len(view.parameters) or not view.schema:
            continue
        from hitherto.on_demand.polars_mode import misfits

        try:
            found = list(misfits(view, view.function))
        except MissingExtraError as error:
            found = [str(error)]
        yield from (Problem(message, f"on-demand feature view {view.name!r}", view.location) for message in found)
