"""What we ship: the model, its card and its plans say what can be measured again."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from polyglyph import bundled_organism, bundled_plans
from polyglyph.analysis.organism.card import render_readme
from polyglyph.analysis.organism.decoding import Decoder
from polyglyph.analysis.organism.evaluation import are_right
from polyglyph.analysis.organism.frequency import script_bits
from polyglyph.analysis.organism.question import bridge_questions, cross_questions, home_questions
from polyglyph.analysis.organism.tokenizer import build_tokenizer
from polyglyph.analysis.organism.world import World, make_world
from polyglyph.analysis.organism.writing import SCRIPTS
from polyglyph.analysis.statistics.wilson import score
from polyglyph.contract.plan import load_plan
from tests.support.organism_binding import bind


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return dict(json.loads((bundled_organism() / "card.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def taught(card: dict[str, Any]) -> World:
    return make_world(card["training"]["seed"])


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


SHIPPED_PLANS = sorted(bundled_plans().glob("*.plan.json"))


def test_there_is_a_plan_for_every_pair_of_scripts():
    pairs = {f"{query.lower()}-to-{source.lower()}" for query, source in permutations(SCRIPTS, 2)}
    assert pairs <= {path.name.removesuffix(".plan.json") for path in SHIPPED_PLANS}


@pytest.mark.parametrize("path", SHIPPED_PLANS, ids=lambda path: path.name)
def test_a_shipped_plan_is_bound_to_the_shipped_model_and_says_how_it_was_chosen(path: Path):
    plan = load_plan(path)
    assert plan.model == bind(bundled_organism())
    assert plan.provenance is not None
    assert plan.provenance.evaluation


def test_everything_shipped_is_readable_by_all():
    files = [*bundled_organism().iterdir(), *bundled_plans().glob("*.plan.json")]
    assert all(file.stat().st_mode & 0o444 == 0o444 for file in files)
