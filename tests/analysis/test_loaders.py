import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.analysis.benchmarks.eclektic import load_eclektic
from polyglyph.analysis.benchmarks.languages import script_of_language
from polyglyph.analysis.benchmarks.multiloko import CODES, load_multiloko
from polyglyph.analysis.evaluation.errors import BenchmarkError
from polyglyph.analysis.evaluation.reading import read_benchmark, write_benchmark


def eclektic_row(number: int = 1, **changes) -> dict[str, object]:
    row: dict[str, object] = {
        "q_id": f"q{number}",
        "original_lang": "he",
        "title": f"נהר {number}",
        "url": "https://example.org/article",
        "content": "הנהר זורם אל ים המלח.",
        "question": "לאן זורם הנהר?",
        "answer": "ים המלח",
        "he_q": "לאן זורם הנהר?",
        "he_a": "ים המלח",
        "he_c": "הנהר זורם אל ים המלח.",
        "en_q": "Where does the river flow?",
        "en_a": "The Dead Sea",
        "en_c": "The river flows to the Dead Sea.",
        "ja_q": "その川はどこへ流れますか。",
        "ja_a": "死海",
        "ja_c": "その川は死海へ流れます。",
    }
    return row | changes


def write_lines(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def multiloko_row(number: int, question: str, targets: list[str], **changes) -> dict[str, object]:
    row = {
        "text": f"Paragraph {number}",
        "question": question,
        "targets": targets,
        "target": f"{targets[0]} it is" if targets else "",
        "id": f"{number:03}_page.txt",
        "output_type": "word",
    }
    return row | changes


@pytest.fixture
def multiloko(tmp_path: Path) -> Path:
    write_lines(tmp_path / "hindi/dev.jsonl", [multiloko_row(1, "कौन सी नदी?", ["गंगा", "गङ्गा"])])
    write_lines(
        tmp_path / "hindi/dev_translated_human_english.jsonl", [multiloko_row(1, "Which river?", ["Ganges", "Ganga"])]
    )
    write_lines(
        tmp_path / "hindi/dev_translated_machine_english.jsonl", [multiloko_row(1, "What river?", ["The Ganga"])]
    )
    write_lines(tmp_path / "english/dev.jsonl", [multiloko_row(7, "Which city?", ["Bath"])])
    write_lines(tmp_path / "english/dev_translated_human_hindi.jsonl", [multiloko_row(7, "कौन सा शहर?", ["बाथ"])])
    write_lines(tmp_path / "hindi/knowledge_fewshot.jsonl", [{"question": "?"}])
    return tmp_path


def test_an_eclektic_question_is_asked_in_its_own_language_and_in_the_others(tmp_path: Path):
    path = write_lines(tmp_path / "e.jsonl", [eclektic_row(1), eclektic_row(2)])
    benchmark = load_eclektic(path, languages=("en", "ja"))
    assert [item.id for item in benchmark.items] == ["q1.he", "q1.en", "q1.ja", "q2.he", "q2.en", "q2.ja"]
    home, english, japanese, *_ = benchmark.items
    assert (home.pair, english.pair, japanese.pair) == (("Hebr", "Hebr"), ("Latn", "Hebr"), ("Jpan", "Hebr"))
    assert english.answers == ("The Dead Sea",)
    assert english.source_answers == ("ים המלח",)
    assert english.context == "הנהר זורם אל ים המלח."
    assert english.entity_hint == "נהר 1"
    assert {item.fact for item in benchmark.items} == {"q1", "q2"}
    assert benchmark.header.scorer == "judge"


def test_a_loaded_benchmark_comes_back_from_its_file(tmp_path: Path, multiloko: Path):
    loaded = (
        load_eclektic(write_lines(tmp_path / "e.jsonl", [eclektic_row()]), languages=("en",)),
        load_multiloko(multiloko),
    )
    for benchmark in loaded:
        write_benchmark(benchmark, tmp_path / "b.jsonl")
        assert read_benchmark(tmp_path / "b.jsonl") == benchmark


def test_missing_eclektic_columns_are_refused_by_name(tmp_path: Path):
    row = eclektic_row()
    del row["content"]
    with pytest.raises(BenchmarkError, match=r"line 2: lacks content; there are answer, "):
        load_eclektic(write_lines(tmp_path / "e.jsonl", [eclektic_row(), row]), languages=("en",))
    with pytest.raises(BenchmarkError, match="lacks fr_q, fr_a; name the languages"):
        load_eclektic(write_lines(tmp_path / "e.jsonl", [eclektic_row()]), languages=("fr", "en"))


def test_further_columns_are_no_harm(tmp_path: Path):
    path = write_lines(tmp_path / "e.jsonl", [eclektic_row(comment={"any": "thing"})])
    assert len(load_eclektic(path, languages=("en",)).items) == 2


def test_questions_that_contain_their_answer_are_left_out_and_named(tmp_path: Path):
    path = write_lines(tmp_path / "e.jsonl", [eclektic_row(en_q="Does it flow to The Dead Sea?"), eclektic_row(2)])
    benchmark = load_eclektic(path, languages=("en",))
    assert [item.id for item in benchmark.items] == ["q1.he", "q2.he", "q2.en"]
    assert "because the question contains its answer: 1 (q1.en)." in benchmark.header.description


@pytest.mark.parametrize(
    ("line", "reason"),
    [("[1]", "expected a JSON object, got list"), ("{", "expected a JSON object"), ("{}", "lacks q_id, original_lang")],
)
def test_lines_that_are_no_questions_are_refused_with_their_place(tmp_path: Path, line: str, reason: str):
    path = tmp_path / "e.jsonl"
    path.write_text(f"\n{line}\n", encoding="utf-8")
    with pytest.raises(BenchmarkError, match=rf"line 2: {reason}"):
        load_eclektic(path)


@pytest.mark.parametrize("value", ["", "  ", None, 3])
def test_questions_without_words_are_refused(tmp_path: Path, value: object):
    with pytest.raises(BenchmarkError, match="en_q: expected a text"):
        load_eclektic(write_lines(tmp_path / "e.jsonl", [eclektic_row(en_q=value)]), languages=("en",))


def test_files_that_are_not_there_or_empty_are_refused(tmp_path: Path):
    with pytest.raises(BenchmarkError, match="cannot be read"):
        load_eclektic(tmp_path / "none.jsonl")
    with pytest.raises(BenchmarkError, match="no items"):
        load_eclektic(write_lines(tmp_path / "empty.jsonl", []))


def test_multiloko_is_local_questions_and_both_directions_of_translation(multiloko: Path):
    items = {item.id: item for item in load_multiloko(multiloko).items}
    assert set(items) == {
        "hindi.001_page.txt",
        "hindi.001_page.txt.english",
        "english.007_page.txt",
        "english.007_page.txt.hindi",
    }
    there = items["hindi.001_page.txt.english"]
    assert (there.source_language, there.target_language, there.pair) == ("hi", "en", ("Latn", "Deva"))
    assert there.answers == ("Ganges", "Ganga")
    assert there.source_answers == ("गंगा", "गङ्गा")
    assert there.question == "Which river? (word)"
    assert there.fact == items["hindi.001_page.txt"].fact
    assert there.half == items["hindi.001_page.txt"].half


def test_the_machines_translations_are_read_on_request(multiloko: Path):
    items = {item.id: item for item in load_multiloko(multiloko, translation="machine").items}
    assert items["hindi.001_page.txt.english"].answers == ("The Ganga",)
    assert "english.007_page.txt.hindi" not in items


def test_languages_that_are_not_there_are_refused_with_those_that_are(multiloko: Path, tmp_path: Path):
    with pytest.raises(BenchmarkError, match=r"does not hold thai/dev\.jsonl; there are: english, hindi"):
        load_multiloko(multiloko, languages=["thai"])
    with pytest.raises(BenchmarkError, match="there are: none"):
        load_multiloko(tmp_path / "nowhere")


@pytest.mark.parametrize("targets", [[], [" "], "Bath", [3], None])
def test_multiloko_questions_without_answers_are_refused(multiloko: Path, targets: object):
    write_lines(multiloko / "english/dev.jsonl", [multiloko_row(7, "Which?", ["x"]) | {"targets": targets}])
    with pytest.raises(BenchmarkError, match="line 1: targets: expected"):
        load_multiloko(multiloko)


@pytest.mark.parametrize(
    ("language", "script"),
    [("de", "Latn"), ("he", "Hebr"), ("hi", "Deva"), ("ja", "Jpan"), ("ko", "Hang"), ("zh", "Hani"), ("yue", "Hani"),
     ("zh-Hant", "Hani"), ("ur", "Arab"), ("sr", "Cyrl"), ("sr-Latn", "Latn"), ("km", "Khmr")],
)  # fmt: skip
def test_languages_have_the_script_of_their_characters(language: str, script: str):
    assert script_of_language(language) == script


@given(language=st.sampled_from(sorted(CODES.values())))
def test_every_language_of_multiloko_has_a_script(language: str):
    assert len(script_of_language(language)) == 4


def test_unknown_languages_are_refused_by_name():
    with pytest.raises(BenchmarkError, match="'qqq'"):
        script_of_language("qqq")
