"""The plan document: what it accepts, what it refuses with which path, and what its fingerprint depends on."""

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from polyglyph import bundled_plans
from polyglyph.contract.errors import RequestError
from polyglyph.contract.plan import MAX_VALUE, PHASES, Plan, load_plan, parse_plan

MODEL = {
    "architecture": "Qwen3MoeForCausalLM",
    "layers": 6,
    "experts": 16,
    "top_k": 2,
    "fingerprint": "sha256:" + "a" * 64,
}

experts = st.lists(st.integers(0, 300), min_size=1, max_size=5, unique=True)
values = st.floats(-MAX_VALUE, MAX_VALUE)
edits = st.one_of(
    st.fixed_dictionaries(
        {"layer": st.integers(0, 99), "experts": experts, "op": st.sampled_from(["add", "add_std"]), "value": values}
    ),
    st.fixed_dictionaries({"layer": st.integers(0, 99), "experts": experts, "op": st.sampled_from(["ban", "force"])}),
    st.fixed_dictionaries(
        {"layer": st.integers(0, 99), "experts": experts, "op": st.just("scale"), "value": st.floats(0, MAX_VALUE)},
        optional={"renormalize": st.booleans()},
    ),
)
plans = st.fixed_dictionaries(
    {
        "schema": st.just("polyglyph.plan/1"),
        "name": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z").filter(lambda name: name not in {"off", "auto"}),
        "model": st.just(MODEL),
        "edits": st.lists(edits, max_size=6),
    },
    optional={
        "description": st.text(max_size=20),
        "phases": st.lists(st.sampled_from(PHASES), min_size=1, unique=True),
        "provenance": st.fixed_dictionaries({"method": st.text(max_size=9)}, optional={"anything": st.integers()}),
    },
)


@given(plans)
def test_a_plan_survives_being_written_and_read(document: dict[str, Any]) -> None:
    plan = parse_plan(document)
    again = parse_plan(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.fingerprint == plan.fingerprint


@given(plans, st.text(max_size=9))
def test_the_fingerprint_knows_neither_name_nor_description_nor_provenance(document: dict[str, Any], text: str) -> None:
    other = {**document, "name": "another", "description": text, "provenance": {"method": text}}
    assert parse_plan(other).fingerprint == parse_plan(document).fingerprint


@given(plans, edits)
def test_the_fingerprint_knows_every_edit(document: dict[str, Any], edit: dict[str, Any]) -> None:
    more = {**document, "edits": [*document["edits"], edit]}
    assert parse_plan(more).fingerprint != parse_plan(document).fingerprint


@given(plans)
def test_the_fingerprint_does_not_depend_on_what_is_written_out(document: dict[str, Any]) -> None:
    spelt_out = {"phases": list(PHASES), **document}
    reordered = dict(reversed(spelt_out.items()))
    assert parse_plan(reordered).fingerprint == parse_plan(document).fingerprint


def test_a_whole_number_and_its_float_are_one_value() -> None:
    fingerprints = {
        parse_plan(plan(edits=[{"layer": 0, "experts": [1], "op": "add", "value": value}])).fingerprint
        for value in (2, 2.0)
    }
    assert len(fingerprints) == 1


def plan(**fields: Any) -> dict[str, Any]:
    return {"schema": "polyglyph.plan/1", "name": "p", "model": MODEL, "edits": [], **fields}


def edit(**fields: Any) -> dict[str, Any]:
    return plan(edits=[{"layer": 0, "experts": [1], "op": "ban", **fields}])


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (plan(colour="red"), "plan.colour"),
        (plan(schema="polyglyph.plan/2"), "plan.schema"),
        (plan(name="../escape"), "plan.name"),
        (plan(name="auto"), "plan"),
        (plan(phases=["prompt", "prompt"]), "plan"),
        (plan(phases=["thinking"]), "plan.phases[0]"),
        (plan(model={**MODEL, "fingerprint": "sha256:short"}), "plan.model.fingerprint"),
        (plan(model={**MODEL, "layers": "6"}), "plan.model.layers"),
        (edit(colour="red"), "plan.edits[0].colour"),
        (edit(layer=-1), "plan.edits[0].layer"),
        (edit(layer=True), "plan.edits[0].layer"),
        (edit(experts=[]), "plan.edits[0].experts"),
        (edit(experts=[1, 1]), "plan.edits[0]"),
        (edit(experts=[1.0]), "plan.edits[0].experts[0]"),
        (edit(value=1.0), "plan.edits[0]"),
        (edit(op="add"), "plan.edits[0]"),
        (edit(op="add", value=float("nan")), "plan.edits[0].value"),
        (edit(op="add", value=float("inf")), "plan.edits[0].value"),
        (edit(op="add", value=2 * MAX_VALUE), "plan.edits[0].value"),
        (edit(op="add", value="1"), "plan.edits[0].value"),
        (edit(op="scale", value=-1.0), "plan.edits[0]"),
        (edit(op="add", value=1.0, renormalize=True), "plan.edits[0]"),
        ([], "plan"),
        (None, "plan"),
    ],
)
def test_what_is_no_plan_is_refused_with_its_path(document: Any, path: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_plan(document)
    assert refused.value.param == path
    assert path in str(refused.value)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists) | st.dictionaries(st.text(), plans))
def test_anything_else_is_refused_and_never_crashes(document: Any) -> None:
    with pytest.raises(RequestError):
        parse_plan(document)


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_plan(plan()).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("path", sorted(bundled_plans().glob("*.plan.json")), ids=lambda path: path.name)
def test_the_bundled_plans_can_be_read_and_carry_their_evaluation(path: Path) -> None:
    bundled = load_plan(path)
    assert path.name == f"{bundled.name}.plan.json"
    assert bundled.provenance is not None
    assert bundled.provenance.evaluation


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"schema": 1}', "\udcff"])
def test_a_file_that_is_no_plan_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.plan.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(RequestError, match=r"broken\.plan\.json"):
        load_plan(path)


def test_the_published_schema_accepts_the_bundled_plans_and_nothing_unknown() -> None:
    import jsonschema

    schema = Plan.model_json_schema(by_alias=True)
    for path in bundled_plans().glob("*.plan.json"):
        jsonschema.validate(json.loads(path.read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plan(colour="red"), schema)
