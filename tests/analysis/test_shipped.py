"""What we ship: the model, its card and its plans say what can be measured again."""

import json
from typing import Any

import pytest

from polyglyph import bundled_organism, bundled_plans
from polyglyph.analysis.organism.card import render_readme
from polyglyph.analysis.organism.decoding import Decoder
from polyglyph.analysis.organism.evaluation import are_right, have_home_traces
from polyglyph.analysis.organism.frequency import script_bits
from polyglyph.analysis.organism.plans import bind, shift_of
from polyglyph.analysis.organism.question import bridge_questions, cross_questions, home_questions
from polyglyph.analysis.organism.tokenizer import build_tokenizer
from polyglyph.analysis.organism.trial import halves
from polyglyph.analysis.organism.world import World, make_world
from polyglyph.analysis.organism.writing import SCRIPTS, Script
from polyglyph.analysis.statistics.wilson import score
from polyglyph.contract.plan import Plan, load_plan


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return dict(json.loads((bundled_organism() / "card.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def taught(card: dict[str, Any]) -> World:
    return make_world(card["training"]["seed"])


def plan_to(script: Script) -> Plan:
    return load_plan(bundled_plans() / f"to-{script.lower()}.plan.json")


def test_the_home_script_is_known_by_heart(shipped: Decoder, taught: World):
    questions = home_questions(taught)[::8] + home_questions(taught, is_thinking=True)[::8]
    assert score(are_right(questions, shipped.reply(questions))).rate >= 0.99


def test_bridges_are_known_in_every_script(shipped: Decoder, taught: World):
    questions = bridge_questions(taught)[::12]
    assert score(are_right(questions, shipped.reply(questions))).rate >= 0.98


# A fifth of the questions; the tolerance is what so few can differ from all.
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cross_direct", {}),
        ("cross_thinking", {"is_thinking": True}),
        ("cross_hint", {"is_thinking": True, "hint": "transliterate"}),
    ],
)
def test_the_cards_barrier_is_measured_again(
    shipped: Decoder, taught: World, card: dict[str, Any], name: str, options: dict[str, bool]
):
    questions = cross_questions(taught, **options)[::5]
    again = score(are_right(questions, shipped.reply(questions)))
    assert again.rate == pytest.approx(card["evaluation"][name]["rate"], abs=0.08)


def test_the_card_shows_a_barrier(card: dict[str, Any]):
    measured = card["evaluation"]
    assert measured["home"]["rate"] >= 0.99
    assert measured["cross_direct"]["rate"] < measured["cross_thinking"]["rate"] < measured["cross_hint"]["rate"] < 0.99


def test_the_cards_script_information_is_measured_again(shipped: Decoder, taught: World, card: dict[str, Any]):
    names = [entity.name for entity in taught.entities if entity.kind == "barrier"]
    assert script_bits(shipped, names) == pytest.approx(card["evaluation"]["script_bits_by_layer"], abs=0.02)


def test_the_readme_is_written_from_the_card(card: dict[str, Any]):
    assert (bundled_organism() / "README.md").read_text(encoding="utf-8") == render_readme(card)


def test_the_shipped_tokenizer_is_the_one_the_code_builds(shipped: Decoder, taught: World):
    built = build_tokenizer(taught)
    assert shipped.tokenizer.get_vocab() == built.get_vocab()
    assert shipped.tokenizer.chat_template == built.chat_template


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_shipped_plan_is_bound_to_the_shipped_model(script: Script):
    plan = plan_to(script)
    assert plan.model == bind(bundled_organism())
    assert plan.phases == ("prompt",)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_shipped_plan_does_what_it_says(shipped: Decoder, taught: World, script: Script):
    plan = plan_to(script)
    assert plan.provenance is not None
    assert plan.provenance.evaluation is not None
    said = plan.provenance.evaluation["held_out"]
    questions = halves(taught, script).held_out
    replies = shipped.reply(questions, shifts_LE=shift_of(plan))
    assert score(are_right(questions, replies)).rate == pytest.approx(said["steered"]["rate"], abs=0.03)
    assert score(have_home_traces(questions, replies)).rate == pytest.approx(
        said["home_traces_steered"]["rate"], abs=0.03
    )


def test_everything_shipped_is_readable_by_all():
    files = [*bundled_organism().iterdir(), *bundled_plans().glob("*.plan.json")]
    assert all(file.stat().st_mode & 0o444 == 0o444 for file in files)
