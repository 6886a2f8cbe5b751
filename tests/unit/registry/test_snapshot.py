"""Views, versions and services of a snapshot are found by name, and a wrong name gets the nearest one."""

from __future__ import annotations

import pytest

from hitherto.errors import UnknownNameError
from hitherto.registry.snapshot import ServedView, Snapshot
from unit.registry.samples import SERVICE, VIEW, definitions

OLD, NEW = (
    ServedView(VIEW, version=version, generation=version, watermark=None, serving=version == 1) for version in (1, 2)
)
SNAPSHOT = Snapshot(
    serial=1,
    project="flights",
    definitions=definitions(VIEW, services=[SERVICE]),
    views={VIEW.name: OLD},
    versions={(VIEW.name, 1): OLD, (VIEW.name, 2): NEW},
)


def test_a_plain_name_is_the_version_that_serves():
    assert SNAPSHOT.view("airport_weather") is OLD


def test_a_version_is_named_with_an_at():
    assert SNAPSHOT.view("airport_weather@2") is NEW


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("airport_wether", "no feature view 'airport_wether'. Did you mean 'airport_weather'"),
        ("airport_wether@2", "no feature view 'airport_wether'. Did you mean 'airport_weather'"),
        ("airport_weather@3", "no feature view version 'airport_weather@3'. Did you mean 'airport_weather@2'"),
        ("airport_weather@x", "airport_weather@x"),
        ("airport_weather@", "airport_weather@"),
        ("airport_weather@-1", "airport_weather@-1"),
        ("airport_weather@" + "9" * 5_000, "no feature view version 'airport_weather@999"),
        ("", "no feature view ''"),
    ],
)
def test_a_wrong_view_is_named_with_the_nearest(name, message):
    with pytest.raises(UnknownNameError, match=message):
        SNAPSHOT.view(name)


def test_a_service_is_found_by_name():
    assert SNAPSHOT.feature_service("delay_model") is SERVICE
    with pytest.raises(UnknownNameError, match="Did you mean 'delay_model'"):
        SNAPSHOT.feature_service("delay_modl")
