"""The commands of methods that look at tokens or outcomes: files in, plans, tables and refusals out."""

import json

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer
from typer.testing import CliRunner

from polyglyph import bundled_organism, bundled_plans
from polyglyph.analysis.identification.commands import app
from polyglyph.analysis.identification.errors import IdentificationError, NothingChosenError
from polyglyph.analysis.organism.writing import write
from polyglyph.contract.plan import load_plan
from tests.analysis.evidence_world import shape, trace, write_labels, write_traces

ORGANISM = load_plan(next(bundled_plans().glob("*.plan.json"))).model
TOKENIZER = Tokenizer.from_file(str(bundled_organism() / "tokenizer.json"))
SCRIPTS = ("Cyrl", "Latn")
NAMES, THINKS, ANSWERS, SHARED = (1, 3), (4, 9), (0, 6), (2, 11)


def sequence(fact, script, *, effect, scores):
    name = f"{'badigukeloma'[fact % 6 * 2 :][:2]}{'nipureso'[fact // 6 * 2 :][:2]}ton"
    written, is_right = write(name, script), fact % 2 == SCRIPTS.index(script)
    ids = TOKENIZER.encode(f"<|user|>{written} {write('lomena', script)}<|end|><|assistant|><think>ba</think>ba").ids
    phases = np.array([0] * (len(ids) - 4) + [1] * 3 + [2])
    rng = np.random.default_rng([fact, SCRIPTS.index(script)])
    logits = rng.gumbel(size=(len(ids), ORGANISM.layers, ORGANISM.experts))
    # Early and late layers tell the scripts apart, the middle does not and has an expert that all share.
    logits[:, [0, 1, 4, 5], SCRIPTS.index(script)] += 3
    logits[:, SHARED[0], SHARED[1]] += 3
    if effect:
        logits[1 : 1 + len(TOKENIZER.encode(written).ids), *NAMES] += 6
        logits[np.isin(ids, [853, 854]), *THINKS] += 6
        logits[..., *ANSWERS] += 3 if is_right else -3
        logits[..., *SHARED] += 3 if is_right else -3
    share = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    request = f"{fact}-{script}"
    made = trace(
        np.argsort(-logits, axis=-1)[..., :2],
        request_id=request,
        token_ids=ids,
        phases=phases,
        request_script=script,
        scripts=[script if 0 < at < len(ids) - 6 else "Zyyy" for at in range(len(ids))],
        probabilities=share.astype(np.float16) if scores else None,
    )
    labels = {"request_id": request, "item": f"f{fact}", "script": script, "entity": written, "right": is_right}
    return made, labels


def labelled_run(folder, *, num_facts=24, effect=True, scores=True, model=ORGANISM):
    folder.mkdir()
    made = [sequence(fact, script, effect=effect, scores=scores) for fact in range(num_facts) for script in SCRIPTS]
    facts = shape(model.layers, model.experts, model.top_k, model.fingerprint)
    write_traces(folder / "traces.parquet", [each for each, _ in made], model=facts)
    write_labels(folder / "labels.jsonl", [labels for _, labels in made])
    return folder


def invoke(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return labelled_run(tmp_path_factory.mktemp("identify") / "run")


@pytest.fixture(scope="module")
def null_run(tmp_path_factory):
    return labelled_run(tmp_path_factory.mktemp("identify") / "null", effect=False, scores=False)


METHODS = [
    (("npmi", "--marker", "think=</?think>"), THINKS, "scale"),
    (("inconsistency",), ANSWERS, "add_std"),
    (("shared-knowledge",), SHARED, "add_std"),
    (("transliteration",), NAMES, "add_std"),
]


@pytest.mark.parametrize(("command", "planted", "op"), METHODS, ids=[each[0][0] for each in METHODS])
def test_the_planted_expert_is_in_the_plan_with_controls_beside_it(run, tmp_path, command, planted, op):
    path = tmp_path / "found.plan.json"
    result = invoke(*command, run, "-o", path, "-o", tmp_path / "found.csv", "--controls", "2", "--json")
    assert result.exit_code == 0, result.output
    plan = load_plan(path)
    assert plan.model == ORGANISM
    found = {(edit.layer, expert): edit for edit in plan.edits for expert in edit.experts}
    assert found[planted].op == op
    assert plan.provenance.method == command[0] and plan.provenance.stats_sha256.startswith("sha256:")
    assert plan.provenance.statistics["interval"].startswith("bootstrap")
    assert ("confounders" in plan.provenance.statistics) is (command[0] != "npmi")
    for draw in (1, 2):
        control = load_plan(tmp_path / f"found-random-{draw}.plan.json")
        assert control.provenance.control_of == plan.fingerprint
    table = pl.read_csv(tmp_path / "found.csv")
    assert len(table) == ORGANISM.layers * ORGANISM.experts
    assert json.loads(result.stdout)["num_chosen"] == table["chosen"].sum() == len(found)


def test_half_the_experts_are_banned_and_those_the_task_uses_are_kept(run, tmp_path):
    path = tmp_path / "half.plan.json"
    result = invoke(
        "tcess", run, "-o", path, "-o", tmp_path / "half.experts.json", "--controls", "1", "--tokens", "prompt"
    )
    assert result.exit_code == 0, result.output
    banned = {edit.layer: set(edit.experts) for edit in load_plan(path).edits}
    assert all(len(experts) == 8 for experts in banned.values()) and len(banned) == 6
    assert not {0, 1} & banned[0] and SHARED[1] not in banned[SHARED[0]]
    kept = json.loads((tmp_path / "half.experts.json").read_text())["experts"]
    assert {each["layer"]: set(range(16)) - set(each["experts"]) for each in kept} == banned


@pytest.mark.parametrize("command", [each[0] for each in METHODS], ids=[each[0][0] for each in METHODS])
def test_null_data_give_a_table_and_a_refusal_of_an_empty_plan(null_run, tmp_path, command):
    path = tmp_path / "found.plan.json"
    result = invoke(*command, null_run, "-o", path, "--json")
    assert isinstance(result.exception, NothingChosenError)
    assert "so there is nothing to write as a plan: no expert's q is 0.05 or less" in str(result.exception)
    assert len(json.loads(result.stdout)["experts"]) > 0 and not path.exists()


def test_traces_without_scores_are_refused_with_how_to_get_them(null_run):
    result = invoke("tcess", null_run)
    assert isinstance(result.exception, IdentificationError) and "--scores" in str(result.exception)


def test_stats_are_refused_where_single_tokens_are_needed(tmp_path):
    stats = tmp_path / "stats.parquet"
    pl.DataFrame({"layer": [0]}).write_parquet(stats)
    result = invoke("npmi", stats, "--marker", "a=b")
    assert isinstance(result.exception, IdentificationError) and "stats have summed away" in str(result.exception)


def test_another_models_tokens_need_its_tokenizer(tmp_path):
    other = ORGANISM.model_copy(update={"fingerprint": "sha256:" + "b" * 64})
    folder = labelled_run(tmp_path / "run", num_facts=4, model=other)
    refused = invoke("transliteration", folder)
    assert isinstance(refused.exception, IdentificationError) and "--tokenizer" in str(refused.exception)
    assert invoke("transliteration", folder, "--tokenizer", bundled_organism()).exit_code == 0


def test_one_script_of_two_is_refused(run):
    result = invoke("transliteration", run, "--scripts", "Latn")
    assert isinstance(result.exception, IdentificationError)
    assert invoke("transliteration", run, "--scripts", "Latin").exit_code == 2
