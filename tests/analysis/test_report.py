import json
import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from polyglyph.analysis.evaluation.answer import Answer
from polyglyph.analysis.evaluation.benchmark import Benchmark, Header
from polyglyph.analysis.evaluation.errors import EvaluationRefusedError
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.reading import make_benchmark
from polyglyph.analysis.evaluation.report import write_report
from polyglyph.analysis.results.pooling import pool
from polyglyph.analysis.results.tables import render

NUM_ENTITIES = 20
FILES = {"results.json", "results.md", "items.parquet"}
# Which of every four entities an arm answers right: asked in Cyrillic, and at home in Latin.
CROSS = {
    "none": "a", "plan": "abc", "opposite": "", "wrong-script-1": "a", "hint": "abcd", "auto-words": "ab",
    "random-1": "a", "random-2": "a", "random-3": "b", "random-4": "a", "random-5": "d",
}  # fmt: skip
SAME = {"plan": "abc", "random-3": "acd"}


def arm(name: str, **changes) -> dict[str, object]:
    kind = next(k for k in ("random", "wrong-script", "auto", name) if name.startswith(k))
    rule = name.removeprefix("auto-") if kind == "auto" else None
    return {
        "name": name,
        "kind": kind,
        "is_thinking": True,
        "temperature": 0.0,
        "num_samples": 1,
        "prompt": "hint" if name == "hint" else "plain",
        "rule": rule,
        "draw": None,
        "steering": [{"query": "Cyrl", "source": "Latn", "field": {}, "fingerprint": ""}],
    } | changes


def answer(item: str, arm: str, *, text: str, sample: int = 0, **changes) -> Answer:
    values = {
        "reasoning": "мысль" if arm == "none" else "thought",
        "finish_reason": "stop",
        "prompt_tokens": 8,
        "completion_tokens": 6,
        "plan": "" if arm == "none" else "sha256:0",
        "strength": 0.0 if arm == "none" else 1.0,
        "guessed_source": "Latn" if arm.startswith("auto") else None,
        "dose": 0.0 if arm == "none" else 0.2,
        "tokens_steered": 0 if arm == "none" else 8,
        "seconds": 0.1,
    }
    return Answer(item=item, arm=arm, sample=sample, text=text, **(values | changes))


def frame(answers: list[Answer]) -> pl.DataFrame:
    return pl.DataFrame([vars(one) for one in answers], schema_overrides={"guessed_source": pl.String})


def kind_of(entity: int) -> str:
    return "abcd"[entity % 4]


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    items = [
        Item(
            id=f"{entity}.{script}",
            entity=f"entity {entity}",
            fact=f"fact {entity}",
            question=f"question {entity} in {script}",
            source_script="Latn",
            target_script=script,
            answers=(word,),
            source_answers=("value",),
            half="test",
        )
        for entity in range(NUM_ENTITIES)
        for script, word in (("Latn", "value"), ("Cyrl", "валуе"))
    ]
    sum_ = Item(
        id="sum", entity="sum", fact="sum", task="arithmetic", question="1 + 1", source_script="Latn",
        target_script="Latn", answers=("2",), half="test",
    )  # fmt: skip
    return make_benchmark(Header(name="tiny", description="By hand.", scorer="exact"), [*items, sum_])


@pytest.fixture(scope="module")
def answers() -> pl.DataFrame:
    rows = []
    for name, right in CROSS.items():
        for entity in range(NUM_ENTITIES):
            is_right = kind_of(entity) in right
            rows.append(answer(f"{entity}.Cyrl", name, text="валуе" if is_right else "value"))
            is_right = kind_of(entity) in SAME.get(name, "abcd")
            rows.append(answer(f"{entity}.Latn", name, text="value" if is_right else "no"))
        rows.append(answer("sum", name, text="2", finish_reason="length", reasoning=""))
    return frame(rows)


@pytest.fixture(scope="module")
def run() -> dict[str, object]:
    return {"arms": [arm(name) for name in CROSS], "seed": 3, "frequencies": [[0.5]], "half": "test"}


@pytest.fixture(scope="module")
def results(benchmark, run, answers, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("run"), benchmark, run, answers)


def test_scores_are_counted_and_have_wilson_intervals(results):
    plan = results["arms"]["plan"]
    expected = stats.binomtest(15, 20).proportion_ci(method="wilson")
    assert (plan["cross"]["right"], plan["cross"]["asked"], plan["cross"]["rate"]) == (15, 20, 0.75)
    assert plan["cross"]["wilson_95"] == pytest.approx([expected.low, expected.high], abs=1e-4)
    assert plan["tasks"]["arithmetic"]["right"] == 1


def test_gains_are_paired_with_no_steering(results):
    against = results["arms"]["plan"]["cross"]["against_none"]
    assert against["difference"]["value"] == 0.5
    low, high = against["difference"]["bootstrap_95"]
    # Each entity gains 0 or 1 with equal chance, so that a resample's gain is binomial.
    assert (low, high) == pytest.approx(tuple(stats.binom.ppf([0.025, 0.975], 20, 0.5) / 20), abs=0.051)
    assert (against["mcnemar"]["gained"], against["mcnemar"]["lost"]) == (10, 0)
    assert against["mcnemar"]["p_exact"] == pytest.approx(2 / 2**10)
    assert against["mcnemar"]["p_mid"] == pytest.approx(1 / 2**10)
    assert against["mcnemar"]["p_mid_holm"] == pytest.approx(2 / 2**10)
    assert "against_none" not in results["arms"]["none"]["cross"]


def test_the_plan_is_compared_with_every_control_and_the_mean_of_the_random_ones(results):
    controls = results["arms"]["plan"]["against_controls"]
    gains = {name: control["difference"]["value"] for name, control in controls.items()}
    random = {f"random-{draw}": 0.5 for draw in range(1, 6)}
    assert gains == {**random, "wrong-script-1": 0.5, "opposite": 0.75, "hint": -0.25, "random (mean of draws)": 0.5}


def test_same_script_accuracy_is_a_share_of_the_unsteered_one(results):
    assert results["arms"]["plan"]["same"]["share_of_none"]["value"] == 0.75
    assert results["arms"]["hint"]["same"]["share_of_none"]["value"] == 1.0


def test_a_rule_reaches_its_share_of_the_oracles_gain(results):
    auto = results["arms"]["auto-words"]["auto"]
    assert auto["share_of_oracle"]["plan"]["value"] == 0.5
    assert (auto["right_guesses"]["right"], auto["right_guesses"]["asked"]) == (20, 20)


def test_claims_say_what_is_reached(results):
    claims = results["claims"]["plan"]
    assert {name: claim["reached"] for name, claim in claims.items()} == {
        "gain": True,
        "controls": True,
        "same_script": True,
        "auto": False,
    }
    assert claims["gain"]["figure"]["value"] == 0.5
    assert claims["same_script"]["judged"] == "auto-words"


def test_transfer_is_right_in_both_scripts(results):
    plan, none = (results["arms"][name]["transfer"] for name in ("plan", "none"))
    assert (plan["overall"]["value"], plan["transfer"]["value"]) == (0.75, 1.0)
    assert (none["overall"]["value"], none["transfer"]["value"]) == (0.25, 0.25)
    # Only b is right across scripts, and it is wrong at home.
    elsewhere = results["arms"]["random-3"]["transfer"]
    assert (elsewhere["overall"]["value"], elsewhere["transfer"]["value"]) == (0.0, 0.0)


def test_texts_are_described_by_script_length_and_end(results):
    none, plan = (results["arms"][name]["texts"] for name in ("none", "plan"))
    assert none["reasoning_in_source_script"]["rate"] == 0.0
    assert plan["reasoning_in_source_script"]["rate"] == 1.0
    assert none["reasoning_scripts"] == {"Cyrl": 1.0}
    assert plan["answer_scripts"] == {"Cyrl": 0.75, "Latn": 0.25}
    assert (plan["mean_completion_tokens"], plan["truncated"]["right"]) == (6.0, 0)
    assert results["arms"]["plan"]["steering"]["mean_dose"] == 0.2
    assert results["arms"]["plan"]["cross"]["in_source_script"] == 0.25


def test_pairs_of_scripts_stand_for_themselves(results):
    assert list(results["pairs"]) == ["Cyrl to Latn"]
    pair = results["pairs"]["Cyrl to Latn"]
    assert (pair["questions"], pair["entities"]) == (20, 20)
    assert pair["arms"]["plan"]["against_none"]["difference"]["value"] == 0.5
    assert pair["against_controls"]["plan"]["opposite"]["difference"]["value"] == 0.75


def test_the_regression_says_that_the_script_matters_or_why_it_cannot_say(results):
    regression = results["regression"]
    # At home every unsteered answer is right.
    assert regression["without steering"]["log_odds"]["script match"] == {
        "cannot_be_computed": "separation: the terms predict some answers for certain"
    }
    assert "value" in regression["without steering, with hints, context and the plan"]["log_odds"]["script match"]


def test_three_files_are_written_and_say_the_same(benchmark, run, answers, tmp_path: Path):
    document = write_report(tmp_path, benchmark, run, answers)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == document
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == render(document)
    items = pl.read_parquet(tmp_path / "items.parquet")
    assert len(items) == len(answers)
    assert items.filter(pl.col("arm") == "plan")["right"].sum() == 15 + 15 + 1
    assert document["schema"] == "polyglyph.evaluation/1"
    assert document["benchmark"]["sha256"] == benchmark.sha256
    assert all("steering" not in one for one in document["run"]["arms"])


def test_the_same_answers_give_the_same_files(benchmark, run, answers, tmp_path: Path):
    folders = (tmp_path / "one", tmp_path / "two")
    for folder, rows in zip(folders, (answers, answers.sample(fraction=1, shuffle=True, seed=1)), strict=True):
        folder.mkdir()
        write_report(folder, benchmark, run, rows.sort("arm", "item"))
    assert (folders[0] / "results.json").read_bytes() == (folders[1] / "results.json").read_bytes()


def test_columns_of_items_beside_the_answers_do_no_harm(benchmark, run, answers, results, tmp_path: Path):
    wider = answers.with_columns(pl.lit("x").alias("entity"), pl.lit("y").alias("question"))
    assert write_report(tmp_path, benchmark, run, wider) == results


@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_part_of_the_answers_is_there_no_figure_is_nan(data, benchmark, run, answers, tmp_path: Path):
    arms = data.draw(st.lists(st.sampled_from(sorted(CROSS)), min_size=1, max_size=4, unique=True))
    there = answers.filter(pl.col("arm").is_in(arms))
    rows = data.draw(st.lists(st.integers(0, len(there) - 1), min_size=1, max_size=30, unique=True))
    document = write_report(tmp_path, benchmark, run, there[sorted(rows)])
    json.dumps(document, allow_nan=False)
    assert set(document["arms"]) <= set(arms)
    assert " nan" not in render(document).lower()


def test_a_part_without_figures_says_why(benchmark, run, answers, tmp_path: Path):
    one = answers.filter((pl.col("arm") == "plan") & (pl.col("item") == "0.Cyrl"))
    document = write_report(tmp_path, benchmark, run, one)
    plan = document["arms"]["plan"]
    assert plan["cross"]["against_none"]["cannot_be_computed"].startswith("there is no arm without steering")
    assert plan["same"] == {"cannot_be_computed": "nothing was asked"}
    assert plan["languages"] == {"cannot_be_computed": "the items do not name their languages"}
    assert document["claims"]["plan"]["gain"]["reached"] is None
    assert document["claims"]["plan"]["controls"]["missing"] == ["random", "wrong-script", "opposite"]
    assert "not judged" in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_too_few_controls_settle_no_claim_but_one_that_is_not_beaten_does(benchmark, run, answers, tmp_path: Path):
    few = answers.filter(pl.col("arm").is_in(["none", "plan", "random-1"]))
    claim = write_report(tmp_path, benchmark, run, few)["claims"]["plan"]["controls"]
    assert (claim["reached"], claim["missing"]) == (None, ["wrong-script", "opposite", "4 more random draws"])
    swapped = few.with_columns(pl.col("arm").replace({"plan": "random-1", "random-1": "plan"}))
    assert write_report(tmp_path, benchmark, run, swapped)["claims"]["plan"]["controls"]["reached"] is False


def test_several_answers_to_a_question_are_averaged(benchmark, tmp_path: Path):
    rows = [
        answer(f"{entity}.Cyrl", name, sample=sample, text="валуе" if sample < right else "no")
        for name, right in (("none", 1), ("plan", 3))
        for entity in range(NUM_ENTITIES)
        for sample in range(4)
    ]
    run = {"arms": [arm(name, temperature=1.0, num_samples=4) for name in ("none", "plan")]}
    cross = write_report(tmp_path, benchmark, run, frame(rows))["arms"]["plan"]["cross"]
    assert (cross["right"], cross["asked"], cross["rate"]) == (15, 20, 0.75)
    assert cross["against_none"]["difference"] == {"value": 0.5, "bootstrap_95": [0.5, 0.5]}
    assert cross["against_none"]["mcnemar"]["cannot_be_computed"].startswith("McNemar's test needs one answer")


def test_arms_of_another_mode_or_temperature_are_not_compared(benchmark, answers, tmp_path: Path):
    run = {"arms": [arm("none", is_thinking=False), arm("plan")]}
    two = answers.filter(pl.col("arm").is_in(["none", "plan"]))
    cross = write_report(tmp_path, benchmark, run, two)["arms"]["plan"]["cross"]
    assert "cannot_be_computed" in cross["against_none"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (pl.lit("nobody").alias("arm"), "1 arms of the answers are unknown, the first of them 'nobody'"),
        (pl.lit("nothing").alias("item"), "1 items of the answers are unknown, the first of them 'nothing'"),
    ],
)
def test_answers_of_another_run_are_refused_and_nothing_is_written(
    benchmark, run, answers, tmp_path: Path, change: pl.Expr, reason: str
):
    with pytest.raises(EvaluationRefusedError, match=reason):
        write_report(tmp_path, benchmark, run, answers.with_columns(change))
    assert not list(tmp_path.iterdir())


def test_no_answers_are_refused(benchmark, run, answers, tmp_path: Path):
    with pytest.raises(EvaluationRefusedError, match="no answers"):
        write_report(tmp_path, benchmark, run, answers.head(0))


def test_a_judge_is_needed_where_the_scorer_is_one_and_decides(benchmark, run, answers, tmp_path: Path):
    judged = make_benchmark(benchmark.header.model_copy(update={"scorer": "judge"}), benchmark.items)
    with pytest.raises(EvaluationRefusedError, match="no verdicts: name a judge"):
        write_report(tmp_path, judged, run, answers)
    verdicts = answers.select("item", "arm", "sample", pl.lit(value=True).alias("right"))
    with pytest.raises(EvaluationRefusedError, match="1 of 451 answers have no verdict"):
        write_report(tmp_path, judged, run, answers, verdicts=verdicts.tail(-1))
    assert not list(tmp_path.iterdir())
    document = write_report(tmp_path, judged, run, answers, verdicts=verdicts)
    assert document["arms"]["none"]["cross"]["rate"] == 1.0
    assert document["arms"]["none"]["cross"]["unicode"] == 0.25


def test_rankings_of_candidates_give_rank_consistency(benchmark, run, answers, tmp_path: Path):
    ranks = pl.DataFrame(
        [
            {"item": f"{entity}.{script}", "arm": "none", "ranking": ranking}
            for entity in range(NUM_ENTITIES)
            for script, ranking in (("Latn", [0, 1, 2]), ("Cyrl", [1, 0, 2]))
        ]
    )
    ranks.write_parquet(tmp_path / "ranks.parquet")
    consistency = write_report(tmp_path, benchmark, run, answers)["rank_consistency"]["none"]
    assert write_report(tmp_path, benchmark, run, answers, ranks=ranks)["rank_consistency"]["none"] == consistency
    expected = (math.e + 1) / (math.e**2 + math.e + 1)
    assert consistency["value"] == pytest.approx(expected, abs=1e-5)
    assert consistency["pairs"]["Cyrl to Latn"]["questions"] == NUM_ENTITIES


def test_rankings_of_other_candidates_are_refused_with_their_item(benchmark, run, answers, tmp_path: Path):
    ranks = pl.DataFrame({"item": ["0.Latn", "0.Cyrl"], "arm": ["none"] * 2, "ranking": [[0, 1], [0, 2]]})
    with pytest.raises(EvaluationRefusedError, match=r"item '0\.Cyrl'.*same candidates"):
        write_report(tmp_path, benchmark, run, answers, ranks=ranks)
    ranks.drop("ranking").write_parquet(tmp_path / "ranks.parquet")
    with pytest.raises(EvaluationRefusedError, match="expected the columns item, arm and ranking"):
        write_report(tmp_path, benchmark, run, answers)


def test_multilokos_figures_are_over_languages(tmp_path: Path):
    scripts = {"hi": "Deva", "en": "Latn", "de": "Latn"}
    right = {("hi", "hi"): 2, ("de", "de"): 4, ("en", "en"): 3, ("hi", "en"): 1, ("de", "en"): 1, ("en", "hi"): 1}
    items = [
        Item(
            id=f"{source}{number}.{target}",
            entity=f"{source}{number}",
            fact=f"{source}{number}",
            question="Which?",
            source_script=scripts[source],
            target_script=scripts[target],
            source_language=source,
            target_language=target,
            answers=("The Bath",),
        )
        for source, target in right
        for number in range(4)
    ]
    rows = [
        answer(item.id, "none", text="bath." if int(item.id[2]) < right[item.id[:2], item.id[4:]] else "no")
        for item in items
    ]
    benchmark = make_benchmark(Header(name="local", scorer="exact"), items)
    document = write_report(tmp_path, benchmark, {"arms": [arm("none")]}, frame(rows))
    languages = document["arms"]["none"]["languages"]
    # The benchmark's own scorer decides, whatever ours is.
    assert document["arms"]["none"]["cross"]["rate"] == 0.0
    assert languages["exact_match"] == {"de": 1.0, "en": 0.75, "hi": 0.5}
    assert languages["average"]["value"] == 0.75
    assert (languages["gap"], languages["best"], languages["worst"]) == (0.5, "de", "hi")
    assert languages["mother_tongue_effect"]["value"] == pytest.approx((0.25 + 0.75) / 2)
    assert languages["locality_effect"]["value"] == pytest.approx(0.25)
    assert (languages["mother_tongue_effect"]["languages"], languages["locality_effect"]["languages"]) == (2, 1)


def test_pooled_runs_keep_their_entities_apart(benchmark, run, answers, tmp_path: Path):
    folders = {}
    for name, arms in (("seed-0", list(CROSS)), ("seed-1", ["none", "plan", "hint"])):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        write_report(folders[name], benchmark, run | {"arms": [arm(one) for one in arms]}, answers.filter(
            pl.col("arm").is_in(arms)
        ))  # fmt: skip
    pooled = pool(folders)
    cross = pooled["arms"]["plan"]["cross"]
    assert (cross["right"], cross["asked"]) == (30, 40)
    assert cross["against_none"]["difference"]["value"] == 0.5
    assert pooled["pairs"]["Cyrl to Latn"]["entities"] == 40
    assert set(pooled["arms"]) == {"none", "plan", "hint"}
    assert "random-1" in pooled["left_out"]
    assert set(pooled["runs"]) == {"seed-0", "seed-1"}
    assert "tiny and 1 more" in render(pooled)
    assert "cannot_be_computed" in pooled["rank_consistency"]
    ranks = pl.DataFrame({"item": ["0.Latn", "0.Cyrl"], "arm": ["none"] * 2, "ranking": [[0, 1], [0, 1]]})
    for folder in folders.values():
        ranks.write_parquet(folder / "ranks.parquet")
    assert pool(folders)["rank_consistency"]["none"]["questions"] == 2
    alone = pool({"seed-0": folders["seed-0"]})["arms"]["plan"]["cross"]["against_none"]["difference"]
    one, two = (figure["bootstrap_95"] for figure in (alone, cross["against_none"]["difference"]))
    assert two[1] - two[0] < one[1] - one[0]


def test_folders_without_results_are_refused(tmp_path: Path):
    with pytest.raises(EvaluationRefusedError, match="cannot be read"):
        pool({"seed-0": tmp_path})
    with pytest.raises(EvaluationRefusedError, match="no runs to pool"):
        pool({})
    (tmp_path / "results.json").write_text('{"schema": "other/1"}', encoding="utf-8")
    with pytest.raises(EvaluationRefusedError, match="has schema 'other/1'"):
        pool({"seed-0": tmp_path})
