"""`polyglyph identify library`: labelled prompts become the pattern library of a policy."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from polyglyph.clients.commands import app
from polyglyph.contract.policy import load_policy
from tests.analysis.evidence_world import FINGERPRINT, drawn, shape, trace, write_labels, write_traces

LAYERS, EXPERTS, TOP_K = 4, 8, 2
MODEL = shape(LAYERS, EXPERTS, TOP_K)
BINDING = {
    "architecture": "TinyMoe", "layers": LAYERS, "experts": EXPERTS, "top_k": TOP_K, "fingerprint": FINGERPRINT
}  # fmt: skip
FAVOURITES = {"sums": 1, "chat": 6}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The folder of a labelled run: each kind of prompt leans towards an expert of its own in every layer."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    traces, labels = [], []
    for number in range(40):
        kind = ("sums", "chat")[number % 2]
        weights_LE = np.ones((LAYERS, EXPERTS))
        weights_LE[:, FAVOURITES[kind]] = 15.0
        traces.append(trace(drawn(weights_LE, 20, TOP_K, rng), request_id=f"p{number}"))
        labels.append({"request_id": f"p{number}", "id": f"p{number}", "item": f"i{number // 4}", "label": kind})
    write_traces(folder / "traces.parquet", traces, model=MODEL)
    write_labels(folder / "labels.jsonl", labels)
    routers = [
        {"layer": at, "model_layer": at, "name": f"{at}", "kind": "softmax", "experts": EXPERTS, "top_k": TOP_K}
        for at in range(LAYERS)
    ]
    (folder / "model.json").write_text(json.dumps({"binding": BINDING, "routers": routers}))
    return folder


def run(*words):
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    return runner.invoke(app, ["identify", "library", *map(str, words)])


def test_kinds_become_patterns_with_plans_and_are_judged_on_items_held_out(run_folder, tmp_path):
    file = tmp_path / "auto.policy.json"
    outcome = run(run_folder, "--layers", "0-1", "--plan", "sums=careful:2", "--min-similarity", "0.8", "-o", file)
    assert outcome.exit_code == 0, outcome.output
    assert "careful x 2" in outcome.stdout
    patterns = load_policy(file).patterns
    assert patterns is not None
    assert (patterns.layers, patterns.min_similarity, patterns.model.architecture) == ((0, 1), 0.8, "TinyMoe")
    assert [(pattern.name, pattern.plan, pattern.strength) for pattern in patterns.library] == [
        ("chat", None, 1.0),
        ("sums", "careful", 2.0),
    ]
    for pattern in patterns.library:
        assert [int(np.argmax(layer)) for layer in pattern.shares] == [FAVOURITES[pattern.name]] * 2


def test_the_rows_are_data(run_folder):
    rows = json.loads(run(run_folder, "--layers", "0", "--json").stdout)
    assert [(row["kind"], row["prompts"], row["plan"]) for row in rows] == [("chat", 20, None), ("sums", 20, None)]
    for row in rows:
        assert row["held_out"]["asked"] == 20
        assert row["held_out"]["rate"] > 0.9
        assert 0.5 < row["low_similarity"] <= 1.0


def test_rules_of_another_policy_stay(run_folder, tmp_path):
    rules, file = tmp_path / "rules.policy.json", tmp_path / "auto.policy.json"
    rules.write_text(json.dumps({"scripts": {"Cyrl": {"plan": "to-latin"}}}))
    assert run(run_folder, "--layers", "0", "--rules", rules, "-o", file).exit_code == 0
    policy = load_policy(file)
    assert list(policy.scripts) == ["Cyrl"]
    assert policy.patterns is not None


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--layers", "9"], "0 to 3, got 9"),
        (["--layers", "0", "--plan", "nope=careful"], "'nope'"),
        (["--layers", "0", "--plan", "sums"], "KIND=PLAN"),
        (["--layers", "0", "--plan", "sums=careful:much"], "expected a number"),
        (["--layers", "0", "--plan", "sums=careful:99"], "--plan.strength"),
        (["--layers", "0", "--by", "colour"], "'colour'"),
        (["--layers", "0", "-o", "/nowhere/at/all.json"], "cannot be written"),
    ],
)
def test_what_makes_no_library_is_a_line_not_a_traceback(run_folder, words, text):
    outcome = run(run_folder, *words)
    assert outcome.exit_code != 0
    assert text in " ".join(outcome.output.split())
    assert "Traceback" not in outcome.output
