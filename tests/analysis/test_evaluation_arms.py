"""Arms: each is what its name says, every one can be compared with `none`, and none is steered otherwise in silence."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.analysis.evaluation.arm import ArmKind
from polyglyph.analysis.evaluation.arms import ANY_PAIR, Choice, Materials, make_arms
from polyglyph.analysis.evaluation.benchmark import Header, Prompts
from polyglyph.analysis.evaluation.errors import ArmError, PlanSetError
from polyglyph.analysis.evaluation.fields import Steerable
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.job import jobs_of
from polyglyph.analysis.evaluation.plan_set import PlanSet, load_plan_set, plan_set_of
from polyglyph.analysis.evaluation.prompts import messages_of
from polyglyph.analysis.evaluation.reading import make_benchmark
from polyglyph.analysis.evaluation.selection import chosen_items
from polyglyph.clients.answers import LoadedModel, ServerSettings
from polyglyph.contract.errors import PlanMismatchError, RequestError
from polyglyph.contract.plan import Plan
from tests.analysis.evaluation_server import plan_of
from tests.clients.fake_engine import MODEL, NUM_EXPERTS, NUM_LAYERS

SCRIPTS = ("Cyrl", "Deva", "Geor", "Latn")
PLANS = {
    f"{q}-to-{s}".lower(): plan_of(f"{q}-to-{s}".lower(), expert=i, description=q, phases=["prompt", *extra])
    for q, extra in zip(SCRIPTS, (["reasoning"], ["answer"], [], ["reasoning", "answer"]), strict=True)
    for i, s in enumerate(SCRIPTS)
    if q != s
}
FREQUENCIES_LE = np.arange(NUM_LAYERS * NUM_EXPERTS, dtype=float).reshape(NUM_LAYERS, NUM_EXPERTS)
PROMPTS = Prompts(
    system="Be {script}.",
    hint="{entity_hint}",
    think_in_source={"Cyrl": "думай", "*": "think in {script}"},
    context="Read: {context}",
)


def item(query: str, source: str, **changes: Any) -> Item:
    document = {
        "id": f"{query}-{source}",
        "entity": source,
        "fact": source,
        "question": f"{query} {{context}}?",
        "source_script": source,
        "target_script": query,
        "answers": ["#"],
        "entity_hint": "E",
        "context": "C",
    }
    return Item.model_validate_json(json.dumps(document | changes))


ITEMS = tuple(item(query, source) for query in SCRIPTS for source in SCRIPTS)


def model(**settings: Any) -> LoadedModel:
    return LoadedModel(
        binding=MODEL.binding, routers=MODEL.routers, workers=(), settings=ServerSettings(**settings), versions={}
    )


def steerable(plans: Iterable[Plan] = (), **settings: Any) -> Steerable:
    return Steerable(model=model(**settings), registered={plan.fingerprint: plan.name for plan in plans})


def materials(plans: Mapping[str, Plan] = PLANS, **changes: Any) -> Materials:
    parts = {
        "items": ITEMS,
        "prompts": PROMPTS,
        "plan_set": plan_set_of(plans, scripts=SCRIPTS),
        "steerable": steerable(plans.values()),
        "frequencies_LE": FREQUENCIES_LE,
    }
    return Materials(**(parts | changes))


def made(*names: str, **changes: Any) -> Mapping[str, Any]:
    choice = {key: changes.pop(key) for key in list(changes) if key in Choice.__dataclass_fields__}
    return {arm.name: arm for arm in make_arms(Choice(names=names, **choice), materials(**changes)).arms}


def test_all_holds_every_kind_that_the_benchmark_and_the_server_have() -> None:
    arms = made("all", has_policy=True)
    assert {arm.kind for arm in arms.values()} == set(ArmKind)
    assert len([arm for arm in arms.values() if arm.kind is ArmKind.RANDOM]) == 5


def test_none_is_there_in_every_mode_and_at_every_temperature() -> None:
    arms = made("hint", modes=("thinking", "direct"), temperatures=(0.0, 1.0), num_samples=3)
    assert set(arms) == {"none", "hint"} | {
        f"{n}{s}" for n in ("none", "hint") for s in ("-direct", "-t1", "-direct-t1")
    }
    assert arms["hint-direct-t1"].num_samples == 3 and arms["hint-direct"].num_samples == 1
    assert not arms["hint-direct-t1"].is_thinking and arms["hint-direct-t1"].temperature == 1.0


def test_one_arm_can_be_had_by_its_name() -> None:
    arms = made("random-3", "plan-direct", modes=("thinking", "direct"))
    assert set(arms) == {"none", "none-direct", "random-3", "random-3-direct", "plan-direct"} - {"random-3-direct"}


def test_thinking_in_the_source_script_needs_thinking() -> None:
    with pytest.raises(ArmError, match="think-in-source"):
        made("think-in-source", modes=("direct",))


@pytest.mark.parametrize("name", ["plans", "random-9", "auto-entities", "plan-t1", ""])
def test_an_arm_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(ArmError, match=r"no arm is called .* there are all, none, plan, .*random-5.*wrong-script-2"):
        made(name)


def test_a_registered_plan_is_carried_by_name_and_another_by_its_edits() -> None:
    by_name = made("plan")["plan"].steering["Cyrl", "Latn"]
    assert by_name == {"plan": "cyrl-to-latn", "strength": 1.0}
    inline = made("plan", steerable=steerable())["plan"].steering["Cyrl", "Latn"]
    plan = PLANS["cyrl-to-latn"]
    assert inline == {"edits": plan.to_json()["edits"], "phases": list(plan.phases), "strength": 1.0}
    assert steerable().fingerprint_of(inline) == steerable(PLANS.values()).fingerprint_of(by_name) == plan.fingerprint


def test_the_opposite_and_the_sweep_differ_from_the_plan_by_strength_alone() -> None:
    arms = made("plan", "opposite", "strength", strength=1.5, strengths=(0.5, 2.0))
    strengths = {name: arm.steering["Deva", "Geor"]["strength"] for name, arm in arms.items() if arm.steering}
    assert strengths == {"plan": 1.5, "opposite": -1.5, "strength-0.5": 0.5, "strength-2": 2.0}
    assert {arm.steering["Deva", "Geor"]["plan"] for arm in arms.values() if arm.steering} == {"deva-to-geor"}


@given(draws=st.integers(1, 3))
def test_a_random_control_edits_as_much_as_the_plan_and_other_experts(draws: int) -> None:
    arms = made("random", num_draws=draws, steerable=steerable())
    for pair in materials().plan_set.plans:
        fields = [arms[f"random-{draw}"].steering[pair] for draw in range(1, draws + 1)]
        plan = materials().plan_set.plans[pair]
        assert all(field["phases"] == list(plan.phases) for field in fields)
        assert all(steerable().fingerprint_of(field) != plan.fingerprint for field in fields)
        assert all(len(field["edits"]) == len(plan.edits) for field in fields)


def test_wrong_scripts_are_another_source_of_the_same_query_and_both_arms_differ() -> None:
    arms = made("wrong-script")
    for query in SCRIPTS:
        for source in SCRIPTS:
            names = [arms[f"wrong-script-{draw}"].steering[query, source]["plan"] for draw in (1, 2)]
            assert len(set(names)) == 2
            assert f"{query}-to-{source}".lower() not in names
            assert all(name.startswith(f"{query.lower()}-to-") for name in names)
    chosen = [field["plan"] for field in arms["wrong-script-1"].steering.values()]
    assert len(set(chosen)) == len(PLANS), "no script is the wrong one more often than others"


def test_wrong_scripts_need_another_plan() -> None:
    one = {"cyrl-to-latn": PLANS["cyrl-to-latn"]}
    with pytest.raises(ArmError, match="there are 0 plans for the query script Cyrl that differ"):
        made("wrong-script-1", plans=one)
    arms = make_arms(Choice(), materials(one))
    assert "wrong-script-1" in arms.left_out and "plan" in {arm.name for arm in arms.arms}


def test_without_any_plan_only_words_are_compared() -> None:
    arms = make_arms(Choice(), materials({}))
    assert {arm.kind for arm in arms.arms} == {
        ArmKind.NONE,
        ArmKind.HINT,
        ArmKind.THINK_IN_SOURCE,
        ArmKind.CONTEXT,
    }
    assert "name some with --plans" in arms.left_out["plan"]


def test_a_ban_has_no_opposite() -> None:
    bans = {"cyrl-to-latn": plan_of("cyrl-to-latn", op="ban")}
    with pytest.raises(ArmError, match=r"arm 'opposite': plan 'cyrl-to-latn': edits\[0\].op: 'ban' has no opposite"):
        made("opposite", plans=bans)


def test_a_plan_of_another_model_is_refused() -> None:
    other = MODEL.binding.model_copy(update={"fingerprint": "sha256:" + "0" * 64})
    plans = {"cyrl-to-latn": plan_of("cyrl-to-latn", model=other.model_dump())}
    with pytest.raises(PlanMismatchError):
        steerable().field_of(plans["cyrl-to-latn"])


def test_edits_that_the_server_does_not_take_are_refused() -> None:
    with pytest.raises(ArmError, match="takes no inline edits"):
        made("plan", steerable=steerable(inline_edits=False))
    assert made("plan", steerable=steerable(PLANS.values(), inline_edits=False))["plan"].steering


def test_words_that_an_item_lacks_are_refused_and_at_home_it_is_asked_plainly() -> None:
    without = [item("Cyrl", "Latn", entity_hint=None), item("Latn", "Latn", entity_hint=None)]
    with pytest.raises(ArmError, match="1 items lack entity_hint, the first of them 'Cyrl-Latn'"):
        made("hint", items=without)
    assert "hint" in made("hint", items=without[1:])
    assert messages_of(without[1], PROMPTS, "hint") == messages_of(without[1], PROMPTS)


def test_a_benchmark_without_a_hint_has_no_such_arm() -> None:
    assert "no prompt for 'hint'" in make_arms(Choice(), materials(prompts=Prompts())).left_out["hint"]


def test_the_words_are_filled_in_once_and_braces_of_a_question_stay() -> None:
    asked = item("Cyrl", "Deva")
    assert messages_of(asked, PROMPTS, "hint") == [
        {"role": "system", "content": "Be Devanagari.\n\nE"},
        {"role": "user", "content": "Cyrl {context}?"},
    ]
    assert messages_of(asked, PROMPTS, "think_in_source")[0]["content"].endswith("думай")
    assert messages_of(item("Geor", "Latn"), PROMPTS, "think_in_source")[0]["content"].endswith("think in Latin")
    assert messages_of(item("Geor", "Latn", system="Own."), PROMPTS)[0]["content"] == "Own."


def test_the_policy_arm_leaves_it_to_the_server() -> None:
    assert made("auto-policy", has_policy=True)["auto-policy"].steering == {ANY_PAIR: "auto"}
    with pytest.raises(ArmError, match="policy has no rules"):
        made("auto-policy")


@pytest.mark.parametrize(
    ("names", "pair", "name"),
    [
        (["to-latn"], ("Cyrl", "Latn"), "to-latn"),
        (["to-latn", "CYRL-to-latn"], ("Cyrl", "Latn"), "CYRL-to-latn"),
        (["to-latn", "cyrl-to-latn"], ("Deva", "Latn"), "to-latn"),
        (["middle"], ("Deva", "Geor"), "middle"),
    ],
)
def test_a_plans_file_says_which_pair_it_is_for(tmp_path: Path, names: list[str], pair: Any, name: str) -> None:
    for file in names:
        (tmp_path / f"{file}.plan.json").write_text(json.dumps(plan_of(file).to_json()))
    plans = load_plan_set(tmp_path, scripts=SCRIPTS).plans
    assert plans[pair].name == name
    assert all(query != source for query, source in plans)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], r"expected a folder with files \*.plan.json, found none"),
        (["cyrl-to-latn", "Cyrl-to-Latn"], "'Cyrl-to-Latn' and 'cyrl-to-latn' are both for cyrl-to-latn"),
        (["to-latn", "middle"], "plan 'middle': expected a name such as 'cyrl-to-latn'"),
    ],
)
def test_a_folder_that_is_no_plan_set_is_refused(tmp_path: Path, names: list[str], words: str) -> None:
    for file in names:
        (tmp_path / f"{file}.plan.json").write_text(json.dumps(plan_of(file).to_json()))
    with pytest.raises(PlanSetError, match=words):
        load_plan_set(tmp_path, scripts=SCRIPTS)


def test_a_file_that_is_no_plan_is_named(tmp_path: Path) -> None:
    (tmp_path / "to-latn.plan.json").write_text("{")
    with pytest.raises(RequestError, match=r"to-latn\.plan\.json"):
        load_plan_set(tmp_path, scripts=SCRIPTS)


def test_a_pair_without_a_plan_is_named_beside_those_that_have_one() -> None:
    plan_set = PlanSet({("Cyrl", "Latn"): plan_of("x")})
    plan_set.check_covers([("Cyrl", "Latn")])
    with pytest.raises(PlanSetError, match=r"no plan for hani-to-latn .* there are plans for cyrl-to-latn"):
        plan_set.check_covers([("Hani", "Latn")])


@given(seed=st.integers(0, 99), num_samples=st.integers(1, 3))
def test_jobs_are_each_item_arm_and_sample_once_in_an_order_that_the_seed_gives(seed: int, num_samples: int) -> None:
    arms = make_arms(Choice(names=("plan",), temperatures=(0.0, 1.0), num_samples=num_samples), materials()).arms
    jobs = jobs_of(ITEMS, arms, PROMPTS, seed=seed)
    assert len({job.key for job in jobs}) == len(jobs)
    assert jobs == jobs_of(ITEMS, arms, PROMPTS, seed=seed)
    # `none` asks all 16 items and `plan` the 12 across scripts, once greedily and `num_samples` times at 1.
    assert len(jobs) == (16 + 12) * (1 + num_samples)


def test_arms_sample_with_the_same_seeds_and_samples_with_others() -> None:
    arms = make_arms(Choice(names=("plan",), temperatures=(1.0,), num_samples=2), materials()).arms
    seeds: dict[Any, set[int]] = {}
    for job in jobs_of(ITEMS, arms, PROMPTS, seed=0):
        seeds.setdefault((job.item.id, job.sample), set()).add(job.sampling_seed(0))
    assert all(len(found) == 1 for found in seeds.values())
    assert len(set.union(*seeds.values())) == len(seeds)


def test_a_limit_takes_whole_entities() -> None:
    benchmark = make_benchmark(Header(name="x"), ITEMS)
    chosen = chosen_items(benchmark, half="both", limit=9)
    assert len(chosen) == 8 and len({item.entity for item in chosen}) == 2
    assert {item.half for item in chosen_items(benchmark, half="test")} == {"test"}
