"""The Grafana dashboard and docs/metrics.md say what a scrape says."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import promql_parser
import pytest

from polyglyph import bundled_organism
from polyglyph.server.metrics import families
from polyglyph.server.metrics.families import ALWAYS, EXPERT_SELECTIONS
from tests.house.documents import page

DASHBOARD = json.loads((bundled_organism().parent / "grafana" / "polyglyph.json").read_text(encoding="utf-8"))
ADDED_BY_PROMETHEUS = {"instance", "job"}
NOT_SHOWN = {EXPERT_SELECTIONS.name}
"""Thousands of series, and only with --expert-metrics."""


def samples_of(family: families.Family) -> dict[str, set[str]]:
    """Give the series names of a metric with their labels."""
    if family.kind == "histogram":
        labels = set(family.labels)
        return {f"{family.name}_bucket": labels | {"le"}, f"{family.name}_sum": labels, f"{family.name}_count": labels}
    labels = {"version", "model", "fingerprint"} if family.kind == "info" else set(family.labels)
    return {family.name: labels}


LABELS = {name: labels for family in (*ALWAYS, EXPERT_SELECTIONS) for name, labels in samples_of(family).items()}


def queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def variables() -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}


@dataclass(frozen=True)
class Selection:
    """The series that a query selects, and the labels it matches and groups by."""

    names: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)

    def note(self, node: Any) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            self.names.add(node.name)
            self.labels.update(matcher.name for matcher in node.matchers.matchers)
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            self.labels.update(node.modifier.labels)


def read_query(query: str) -> Selection:
    selection = Selection()
    promql_parser.walk(promql_parser.parse(query.replace("$__rate_interval", "1m")), selection.note)
    return selection


@pytest.mark.parametrize("query", queries())
def test_every_query_is_promql_over_metrics_and_labels_that_exist(query: str):
    selection = read_query(query)
    assert selection.names
    assert selection.names <= set(LABELS)
    known = {label for name in selection.names for label in LABELS[name]} | ADDED_BY_PROMETHEUS
    assert selection.labels <= known


@pytest.mark.parametrize("query", queries())
def test_counters_are_read_as_rates_and_gauges_as_they_are(query: str):
    (name,) = {known.rsplit("_bucket", 1)[0].removesuffix("_sum").removesuffix("_count") for known in
               read_query(query).names}  # fmt: skip
    kind = {family.name: family.kind for family in (*ALWAYS, EXPERT_SELECTIONS)}[name]
    assert ("rate(" in query) == (kind in {"counter", "histogram"})


def test_every_metric_is_on_a_panel_or_left_out_on_purpose():
    shown = {name for query in queries() for name in read_query(query).names}
    for family in (*ALWAYS, EXPERT_SELECTIONS):
        assert bool(shown & set(samples_of(family))) != (family.name in NOT_SHOWN), family.name


@pytest.mark.parametrize("query", queries())
def test_every_variable_in_a_query_exists(query: str):
    assert set(re.findall(r"\$(\w+)", query)) - {"__rate_interval"} <= set(variables())


def test_the_variables_choose_among_labels_that_exist():
    for variable in variables().values():
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert found is not None
            assert found[2] in LABELS[found[1]] | ADDED_BY_PROMETHEUS


def test_legends_name_labels_that_the_query_keeps():
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            selection = read_query(target["expr"])
            kept = selection.labels | {label for name in selection.names for label in LABELS[name]}
            assert set(re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))) <= kept


def test_the_data_source_is_the_readers_choice():
    assert variables()["datasource"]["type"] == "datasource"
    sources = {json.dumps(source, sort_keys=True) for source in find(DASHBOARD, "datasource")}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"}, sort_keys=True)}


def find(value: Any, key: str) -> Iterator[Any]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            else:
                yield from find(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from find(inner, key)


def test_panels_have_a_title_a_place_of_their_own_and_a_number():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        mine = {
            (column, line)
            for column in range(place["x"], place["x"] + place["w"])
            for line in range(place["y"], place["y"] + place["h"])
        }
        assert panel["title"]
        assert place["x"] + place["w"] <= 24
        assert not mine & cells, panel["title"]
        cells |= mine


def test_it_can_be_imported_as_a_new_dashboard_of_the_classic_model():
    assert DASHBOARD["id"] is None
    assert DASHBOARD["schemaVersion"] >= 39
    assert DASHBOARD["uid"] == "polyglyph"


def test_the_page_explains_every_metric_with_its_labels_and_no_other():
    rows = re.findall(r"^\| `(polyglyph_\w+)(?:{([\w, ]*)})?` \| (\w+) \|", page("docs/metrics.md"), re.MULTILINE)
    documented = {name: (kind, {label.strip() for label in labels.split(",")} - {""}) for name, labels, kind in rows}
    assert len(documented) == len(rows)
    existing = {
        family.name: (family.kind, set.intersection(*samples_of(family).values()))
        for family in (*ALWAYS, EXPERT_SELECTIONS)
    }
    assert documented == existing
