import polars as pl
import pytest

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.evaluation.benchmark import Header, Scorer
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.measures import arms_of, is_in_script, measure
from polyglyph.analysis.evaluation.reading import make_benchmark
from polyglyph.analysis.results.cells import points, rate, table


def measured(text: str, reasoning: str = "", *, scorer: Scorer = "normalised", **changes) -> dict[str, object]:
    item = Item(**{
        "id": "i", "entity": "e", "fact": "f", "question": "Which city?", "source_script": "Jpan",
        "target_script": "Latn", "answers": ("Tokyo", "Tōkyō"), "source_answers": ("東京",), **changes,
    })  # fmt: skip
    answers = pl.DataFrame({
        "item": ["i"], "arm": ["none"], "sample": [0], "text": [text], "reasoning": [reasoning],
        "finish_reason": ["stop"], "prompt_tokens": [1], "completion_tokens": [1], "plan": [""], "strength": [0.0],
        "guessed_source": [None], "dose": [0.0], "tokens_steered": [0], "seconds": [0.0],
    })  # fmt: skip
    benchmark = make_benchmark(Header(name="one", scorer=scorer), [item])
    return measure(benchmark, [Arm(name="none", kind=ArmKind.NONE)], answers).row(0, named=True)


@pytest.mark.parametrize(
    ("text", "scorer", "is_right"),
    [
        (" Tokyo\n", "exact", True),
        ("tokyo.", "exact", False),
        ("ＴＯＫＹＯ！", "normalised", True),
        ("It is Tokyo.", "normalised", False),
        ("It is Tokyo.", "contains", True),
        ("東京", "contains", False),
    ],
)
def test_the_benchmarks_scorer_decides(text: str, scorer: Scorer, is_right: bool):
    assert measured(text, scorer=scorer)["right"] is is_right


def test_both_normalisations_stand_beside_the_scorer():
    row = measured("ＴＯＫＹＯ", scorer="exact")
    assert (row["right"], row["right_official"], row["right_unicode"]) == (False, False, True)


def test_a_right_answer_in_the_source_script_is_known_as_such():
    row = measured("東京。")
    assert (row["right"], row["right_in_source_script"]) == (False, True)
    assert (row["answer_script"], row["is_answer_in_target"]) == ("Hani", False)


@pytest.mark.parametrize("reasoning", ["東京都", "とうきょう", "トウキョウ"])
def test_japanese_reasoning_is_in_its_script_whatever_it_is_written_in(reasoning: str):
    assert measured("Tokyo", reasoning)["is_reasoning_in_source"] is True


def test_texts_without_a_script_are_in_no_script_and_do_not_count():
    row = measured("1868", "")
    assert row["answer_script"] == row["reasoning_script"] == "Zyyy"
    assert row["is_answer_in_target"] is None
    assert row["is_reasoning_in_source"] is None


def test_loops_are_measured_in_reasoning_and_answer():
    assert measured("Tokyo", "again and again and " * 40)["repetition"] > 0.9
    assert measured("Tokyo " * 80)["repetition"] > 0.9
    assert measured("Tokyo", "The capital is meant.")["repetition"] == 0


def test_rows_hold_what_is_needed_without_the_benchmark():
    row = measured("Tokyo")
    assert (row["entity"], row["target_script"], row["kind"], row["temperature"]) == ("e", "Latn", "none", 0.0)


@pytest.mark.parametrize(
    ("found", "script", "is_in"), [("Hani", "Jpan", True), ("Hani", "Hani", True), ("Hira", "Hani", False)]
)
def test_only_japanese_is_written_in_three_scripts(found: str, script: str, is_in: bool):
    assert is_in_script(found, script) is is_in


def test_arms_come_back_from_their_documents():
    arm = Arm(name="random-2-t1", kind=ArmKind.RANDOM, temperature=1.0, num_samples=3, draw=2)
    document = {**vars(arm), "kind": "random", "steering": [{"query": "Cyrl"}]}
    assert arms_of([document]) == (arm,)


def test_small_losses_are_written_without_a_sign_of_their_own():
    assert points({"value": -0.0001, "bootstrap_95": [-0.01, 0.0104]}) == "+0.0 [-1.0, +1.0]"


def test_reasons_stand_where_figures_would():
    assert rate({"cannot_be_computed": "nothing was asked"}) == "cannot be computed: nothing was asked"


def test_cells_keep_to_their_columns():
    assert table(("a", "b"), [("x|y", "z")]) == "| a | b |\n|---|---|\n| x/y | z |"
    assert table(("a",), []) == ""
