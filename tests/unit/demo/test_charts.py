from __future__ import annotations

import re
from xml.etree import ElementTree

from hitherto.demo import charts
from hitherto.demo.page import Markup
from hitherto.lineage.graph import Lineage
from hitherto.lineage.nodes import Node

NASTY = '<script>"&'


def read(drawing: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def test_a_bar_is_as_long_as_its_share_and_never_longer_than_the_whole():
    widths = [float(read(charts.bar(share, width=100))[1].attrib["width"]) for share in (-0.5, 0.0, 0.25, 1.0, 3.0)]
    assert widths == [0.0, 0.0, 25.0, 100.0, 100.0]


def test_an_area_of_a_half_is_a_coin_and_has_no_bar():
    bars = read(charts.areas([("coin", 0.5, ""), ("oracle", 1.0, "bad"), (NASTY, 0.75, NASTY)])).findall("rect")
    lengths = [float(bar.attrib["width"]) for bar in bars]
    assert lengths[0] == 0
    assert lengths[1] == 2 * lengths[2] > 0


def test_a_histogram_has_a_bar_per_count_with_its_reach():
    drawn = read(charts.histogram([0.0, 10.0], [1, 4, 2]))
    assert [bar[0].text for bar in drawn.findall("rect")] == ["to 0: 1", "0 to 10: 4", "above 10: 2"]
    heights = [float(bar.attrib["height"]) for bar in drawn.findall("rect")]
    assert heights[1] == max(heights)


def test_a_histogram_of_nothing_can_be_drawn():
    assert len(read(charts.histogram([0.0], [0, 0])).findall("rect")) == 2


def a_lineage() -> Lineage:
    file, source = Node("source_file", f"data/{NASTY}.parquet"), Node("source", "flights")
    version, segment = Node("view_version", "delays@1"), Node("segment", "r1")
    view, service, training = (
        Node("feature_view", "delays"),
        Node("feature_service", "model"),
        Node("training_set", "set@1"),
    )
    arrows = [
        (file, source),
        (source, version),
        (version, segment),
        (segment, training),
        (version, view),
        (view, service),
    ]
    return Lineage(frozenset(node for arrow in arrows for node in arrow), {arrow: frozenset() for arrow in arrows})


def test_the_graph_draws_through_what_it_does_not_show():
    drawn = read(charts.graph(a_lineage(), {}))
    titles = [title.text for title in drawn.iter("title")]
    assert len(titles) == 5
    assert not [title for title in titles if title is not None and title.startswith(("segment", "feature view"))]
    # file to source, source to version, version to service, version to training set.
    assert len(drawn.findall("path")) == 4


def test_the_graph_runs_from_left_to_right_and_escapes_names():
    drawing = charts.graph(a_lineage(), {Node("source", "flights"): NASTY})
    assert "<script" not in drawing
    starts = [float(number) for number in re.findall(r'd="M(\d+)', drawing)]
    ends = [float(number) for number in re.findall(r'(\d+),\d+"/>', drawing)]
    assert all(start < end for start, end in zip(starts, ends, strict=True))


def test_what_is_computed_stands_below_the_arrows_of_what_is_stored():
    plain = a_lineage()
    view, service = Node("feature_view", "delays"), Node("feature_service", "model")
    request, computed = Node("request_source", "trip"), Node("on_demand_view", "usual")
    arrows = [*plain.edges, (request, computed), (view, computed), (computed, service)]
    lineage = Lineage(frozenset(node for arrow in arrows for node in arrow), {arrow: frozenset() for arrow in arrows})
    drawn = read(charts.graph(lineage, {}))
    places = {
        str(group[0].text): (float(group[1].attrib["x"]), float(group[1].attrib["y"])) for group in drawn.findall("g")
    }
    assert places[str(computed)][0] > places[str(request)][0] == places["view version delays@1"][0]
    assert places[str(computed)][1] > max(y for name, (_, y) in places.items() if "view version" in name)
    assert places[str(service)][0] > places[str(computed)][0]
    # As before, and: request to computed, version to computed, computed to service.
    assert len(drawn.findall("path")) == 7
    assert float(drawn.attrib["height"]) > max(y for _, y in places.values())


def test_an_empty_lineage_can_be_drawn():
    assert not read(charts.graph(Lineage(frozenset(), {}), {})).findall("path")
