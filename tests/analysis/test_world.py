import json
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.analysis.organism.errors import WorldError
from polyglyph.analysis.organism.question import HINT, Question, bridge_questions, cross_questions, home_questions
from polyglyph.analysis.organism.world import NUM_ENTITIES, SUFFIXES, World, make_world
from polyglyph.analysis.organism.writing import SCRIPTS, SYLLABLES, Script, romanise, script_of, write, write_text

seeds = st.integers(0, 2**32 - 1)
words = st.lists(st.sampled_from(SYLLABLES), min_size=1, max_size=6).map("".join)
scripts = st.sampled_from(SCRIPTS)


@given(word=words, suffix=st.sampled_from(["", *SUFFIXES.values()]), script=scripts)
def test_every_word_comes_back_from_every_script(word: str, suffix: str, script: Script):
    assert romanise(write(word + suffix, script), script) == word + suffix


@given(word=words, script=scripts)
def test_a_written_word_has_letters_of_its_script_only(word: str, script: Script):
    assert script_of(write(word, script)) == script


@given(texts=st.lists(words, min_size=1, max_size=4), script=scripts)
def test_texts_in_two_scripts_have_the_same_words_in_the_same_order(texts: list[str], script: Script):
    written = write_text(" ".join(texts), script).split(" ")
    assert [romanise(word, script) for word in written] == texts


@pytest.mark.parametrize("text", ["", "12 ?", "ka\u043a\u0430", "\u03ba\u03b1"])
def test_texts_of_no_one_known_script_have_none(text: str):
    assert script_of(text) is None


@settings(max_examples=5)
@given(seed=seeds)
def test_a_seed_makes_one_world(seed: int):
    assert make_world(seed) == make_world(seed)


@settings(max_examples=5)
@given(seed=seeds)
def test_all_written_forms_of_a_world_are_different(seed: int):
    world = make_world(seed)
    names = [entity.name for entity in world.entities]
    forms = [write(word, script) for word in (*names, *world.words, HINT) for script in SCRIPTS]
    assert len(set(forms)) == len(forms)


@settings(max_examples=5)
@given(seed=seeds)
def test_a_world_has_one_value_per_entity_and_relation_and_homes_in_equal_parts(seed: int):
    world = make_world(seed)
    keys = {(fact.entity.name, fact.relation.name) for fact in world.facts}
    assert len(keys) == len(world.facts) == 3 * sum(NUM_ENTITIES.values())
    for kind, number in NUM_ENTITIES.items():
        homes = [entity.home for entity in world.entities if entity.kind == kind]
        assert [homes.count(script) for script in SCRIPTS] == [number // 4] * 4


def test_the_home_script_is_told_by_the_suffix(world: World):
    assert all(entity.name.endswith(SUFFIXES[entity.home]) for entity in world.entities)


def test_two_seeds_make_two_worlds():
    worlds = [make_world(seed) for seed in range(3)]
    assert all(one.facts != other.facts for one, other in combinations(worlds, 2))


def test_drills_use_no_entity(world: World):
    stems = {entity.name[:4] for entity in world.entities}
    assert not stems & set(world.spare_stems)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused_with_its_value(seed: int):
    with pytest.raises(WorldError, match=str(seed)):
        make_world(seed)


def test_a_world_survives_json(world: World):
    document = json.loads(json.dumps(world.to_json()))
    assert {entity["name"] for entity in document["entities"]} == {entity.name for entity in world.entities}


def test_questions_in_two_scripts_differ_in_script_only(world: World):
    fact = world.facts[0]
    asked = {script: Question(fact=fact, script=script, hint="transliterate") for script in SCRIPTS}
    for script, question in asked.items():
        latin = [
            " ".join(romanise(word, script) for word in message["content"].split(" ")) for message in question.messages
        ]
        assert latin == [message["content"] for message in asked["Latn"].messages]
        assert romanise(question.answer, script) == fact.value


def test_barrier_facts_are_asked_once_at_home_and_thrice_away(world: World):
    assert len(home_questions(world)) == 480
    assert len(cross_questions(world)) == 1440
    assert not any(question.is_home for question in cross_questions(world))


def test_bridge_facts_are_asked_in_every_script(world: World):
    assert len(bridge_questions(world)) == 4 * len(world.facts_of("bridge"))
