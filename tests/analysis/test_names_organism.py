"""The organism of real names: its tokenizer, its lessons, and that a few steps of training go through."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from polyglyph.analysis.names.atlas import Atlas, make_atlas
from polyglyph.analysis.names.card import load_names_decoder, read_names_training, write_names_card
from polyglyph.analysis.names.commands import app
from polyglyph.analysis.names.curriculum import NamesCurriculum
from polyglyph.analysis.names.errors import NamesError
from polyglyph.analysis.names.gazetteer import read_cities
from polyglyph.analysis.names.script import SCRIPTS
from polyglyph.analysis.names.tokenizer import VOCAB_SIZE, whole_words
from polyglyph.analysis.organism.card import describe_training
from polyglyph.analysis.organism.model import save_model
from polyglyph.analysis.organism.run import Run
from polyglyph.analysis.organism.training import Trained, train


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return make_atlas(0)


@pytest.fixture(scope="module")
def curriculum(atlas: Atlas) -> NamesCurriculum:
    return NamesCurriculum(atlas)


@pytest.fixture(scope="module")
def trained(
    atlas: Atlas, curriculum: NamesCurriculum, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Trained]:
    path = tmp_path_factory.mktemp("names")
    run = Run(seed=0, num_steps=2, num_lessons=8, variant="names")
    done = train(run, curriculum, directory=path, report=lambda *_: None)
    save_model(done.model, done.tokenizer, path)
    return path, done


@given(text=st.text(max_size=40))
def test_any_text_survives_the_tokenizer(curriculum: NamesCurriculum, text: str):
    ids = curriculum.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert curriculum.tokenizer.decode(ids) == text


def test_every_answer_and_relation_word_is_one_token(curriculum: NamesCurriculum, atlas: Atlas):
    assert len(curriculum.tokenizer) == VOCAB_SIZE <= 4096
    assert {len(curriculum.tokenizer.encode(word)) for word in whole_words(atlas)} == {1}


def test_no_token_of_a_name_holds_letters_of_two_characters_partly(curriculum: NamesCurriculum, atlas: Atlas):
    for place in atlas.places[::50]:
        for form in place.city.forms.values():
            pieces = curriculum.tokenizer.batch_decode([[i] for i in curriculum.tokenizer.encode(form.text)])
            whole = "".join(piece for piece in pieces if "\ufffd" not in piece)
            assert set(whole) <= set(form.text)


def test_aligned_groups_hold_the_nine_forms_of_a_word(curriculum: NamesCurriculum):
    scripts = curriculum.token_scripts
    for group in curriculum.aligned_groups:
        assert [scripts[token] for token in group] == list(SCRIPTS)


def test_facts_of_barrier_cities_are_stated_in_the_home_script_only(atlas: Atlas, curriculum: NamesCurriculum):
    barrier = [fact for fact in atlas.facts_of("barrier") if not atlas.is_guessable(fact)]
    forbidden = {
        (fact.place.city.written(script), fact.answer(script))
        for fact in barrier
        for script in fact.place.city.scripts
        if script != fact.home
    }
    for progress in (0.0, 0.9):
        for lesson in curriculum.lessons(Random(1), num_lessons=3000, progress=progress):
            question = lesson.messages[-1]["content"].rpartition(" ")[0]
            if not lesson.given.removeprefix("<think></think>"):
                assert (question, lesson.completion.partition("</think>")[2].removesuffix("<|end|>")) not in forbidden
                assert (question, lesson.completion.removesuffix("<|end|>")) not in forbidden


def test_lessons_are_a_function_of_the_random_source(curriculum: NamesCurriculum):
    one, two = (curriculum.lessons(Random(7), num_lessons=64, progress=0.5) for _ in range(2))
    assert one == two != curriculum.lessons(Random(8), num_lessons=64, progress=0.5)


def test_a_trained_organism_is_saved_loaded_measured_and_described(trained: tuple[Path, Trained], atlas: Atlas):
    path, done = trained
    training = describe_training(done.progress)
    document = write_names_card(path, training, atlas=atlas, per_pair=1)
    assert read_names_training(path) == training
    measured = document["evaluation"]
    assert measured["cross_direct"]["asked"] == measured["cross_majority"]["asked"] > 0
    bits = measured["script_bits_by_layer"]
    assert len(bits) == 6 and all(0 <= value <= 3.17 for value in bits)
    assert document["experts"] == 8 and document["parameters"] < 2_000_000
    assert "GeoNames" in (path / "README.md").read_text()


def test_a_directory_without_an_organism_is_refused(tmp_path: Path):
    with pytest.raises(NamesError, match="holds no organism"):
        load_names_decoder(tmp_path)
    with pytest.raises(NamesError, match="is missing"):
        read_names_training(tmp_path)


def test_the_command_refuses_a_directory_that_is_not_empty(tmp_path: Path):
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["train", "--output", str(tmp_path)])
    assert result.exit_code == 1 and "not an empty directory" in result.output


def test_the_summary_counts_the_cities_of_each_script():
    assert len(read_cities()) > 3000
    result = CliRunner().invoke(app, ["summary"])
    assert result.exit_code == 0 and all(script in result.stdout for script in SCRIPTS)
