"""Real names: which are chosen, what is left out, and what is taught where."""

from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.analysis.names.atlas import KINDS, Atlas, make_atlas
from polyglyph.analysis.names.errors import NamesError
from polyglyph.analysis.names.gazetteer import MIN_SCRIPTS, choose_forms
from polyglyph.analysis.names.question import HINTS
from polyglyph.analysis.names.relation import MIN_BEARERS, WORDS
from polyglyph.analysis.names.romanisation import distance
from polyglyph.analysis.names.script import LANGUAGES, SCRIPTS, home_script, script_of_name
from polyglyph.analysis.names.sentence import QUESTIONS, ask
from polyglyph.analysis.names.table import names_table, write_table
from polyglyph.routing.scripts.dominant import dominant_script

MOSCOW = [
    "Maskva",
    "Moskau",
    "Москва",
    "Масква",
    "موسكو",
    "مسکو",
    "मास्को",
    "মস্কো",
    "מוסקבה",
    "Μόσχα",
    "モスクワ",
    "莫斯科",
]


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return make_atlas(0)


def test_there_are_three_thousand_cities_each_named_in_six_scripts_or_more(atlas: Atlas):
    assert len(atlas.places) >= 3000
    assert all(len(place.city.forms) >= MIN_SCRIPTS for place in atlas.places)


def test_no_two_cities_are_written_alike_in_any_script(atlas: Atlas):
    forms = Counter((s, form.text.casefold()) for place in atlas.places for s, form in place.city.forms.items())
    assert max(forms.values()) == 1


def test_every_name_is_in_its_script_and_in_the_home_script_too(atlas: Atlas):
    for place in atlas.places:
        assert place.city.home in place.city.forms
        assert all(script_of_name(form.text) == script for script, form in place.city.forms.items())


def test_every_answer_is_in_its_script_and_is_no_other_answer(atlas: Atlas):
    for relation in atlas.relations:
        for script in SCRIPTS:
            texts = [words[script] for words in relation.values.values()]
            assert len(set(texts)) == len(texts) and all(dominant_script(text) == script for text in texts)


def test_no_city_is_called_like_an_answer_or_holds_its_own(atlas: Atlas):
    answers = {words[s] for relation in atlas.relations for words in relation.values.values() for s in SCRIPTS}
    for fact in atlas.facts:
        for script in fact.place.city.scripts:
            name = fact.place.city.written(script)
            assert name not in answers and fact.answer(script) not in name


def test_a_country_is_an_answer_only_with_enough_cities(atlas: Atlas):
    country = atlas.relations[0]
    assert {place.city.country for place in atlas.places} <= country.values.keys()
    assert MIN_BEARERS["country"] <= min(Counter(p.city.country for p in atlas.places).values()) + 5


def test_kinds_are_dealt_by_the_shares_within_each_home_script(atlas: Atlas):
    dealt: dict[str, Counter[str]] = defaultdict(Counter)
    for place in atlas.places:
        dealt[place.city.home][place.kind] += 1
    for counts in dealt.values():
        shares = {kind: counts[kind] / counts.total() for kind in KINDS}
        assert abs(shares["barrier"] - 0.60) < 0.05 and abs(shares["bridge"] - 0.25) < 0.06


def test_another_seed_deals_the_same_cities_otherwise(atlas: Atlas):
    other = make_atlas(1)
    assert [place.city for place in other.places] == [place.city for place in atlas.places]
    assert [place.kind for place in other.places] != [place.kind for place in atlas.places]


def test_scripts_of_one_country_are_guessable_and_those_of_many_are_not(atlas: Atlas):
    guessable = {fact.home for fact in atlas.facts if atlas.is_guessable(fact)}
    open_ = {fact.home for fact in atlas.facts if not atlas.is_guessable(fact)}
    assert open_ == {"Latn", "Cyrl", "Arab"} and guessable.isdisjoint(open_)


def test_the_plainly_spelled_and_nearest_name_is_chosen():
    forms = {script: form.text for script, form in choose_forms("Moscow", MOSCOW).items()}
    assert forms["Latn"] == "Moscow" and forms["Cyrl"] == "Москва" and forms["Arab"] == "موسكو" and "Hani" not in forms


@given(st.permutations(MOSCOW))
def test_the_choice_does_not_depend_on_the_order_of_the_names(names: list[str]):
    assert choose_forms("Moscow", names) == choose_forms("Moscow", MOSCOW)


@given(st.lists(st.text(max_size=8), max_size=8))
def test_whatever_the_alternate_names_are_a_form_is_in_its_script(names: list[str]):
    for script, form in choose_forms("Moscow", names).items():
        assert script_of_name(form.text) == script and 0 <= form.distance <= 1


@pytest.mark.parametrize("name", ["", "Москва", "東京", "42", "Santiago (Chile)", "A, B"])
def test_a_city_without_a_plain_latin_name_has_no_forms(name: str):
    assert choose_forms(name, MOSCOW) == {}


def test_distance_is_zero_for_the_same_letters_and_at_most_one():
    assert distance("Киев", "Cyrl", "Kiev") == 0
    assert distance("", "Cyrl", "") == 0
    assert distance("Ъ", "Cyrl", "Kiev") == 1


def test_short_vowels_that_arabic_does_not_write_are_not_missed():
    assert distance("دمشق", "Arab", "Dmshq") == distance("دمشق", "Arab", "Dimashq") == 0


@pytest.mark.parametrize(
    ("country", "script"), [("RU", "Cyrl"), ("PK", "Arab"), ("IN", "Deva"), ("US", "Latn"), ("JP", None)]
)
def test_a_country_s_home_script_is_that_of_its_likeliest_language(country: str, script: str | None):
    assert home_script(country) == script


def test_all_words_of_ours_are_in_their_scripts():
    for words in (HINTS, *WORDS.values()):
        assert list(words) == list(SCRIPTS) == list(LANGUAGES)
        assert all(dominant_script(text) == script for script, text in words.items())


def test_a_sentence_names_the_city_once_in_its_script(atlas: Atlas):
    for fact in atlas.facts[:50]:
        for script in fact.place.city.scripts:
            assert ask(fact, script).count(fact.place.city.written(script)) == 1
    assert all(template.count("{name}") == 1 for templates in QUESTIONS.values() for template in templates.values())


def test_the_table_has_a_row_per_name_with_its_distance(atlas: Atlas, tmp_path: Path):
    write_table(atlas, tmp_path / "names.parquet")
    table = pq.read_table(tmp_path / "names.parquet")
    assert table.num_rows == sum(len(place.city.forms) for place in atlas.places)
    assert table.schema.metadata[b"licence"].startswith(b"CC BY 4.0") and table.equals(names_table(atlas))
    with pytest.raises(NamesError, match="exists"):
        write_table(atlas, tmp_path / "names.parquet")
