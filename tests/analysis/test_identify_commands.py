"""`polyglyph identify`: what the subcommands read, print and write, and what they refuse, on real files."""

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from polyglyph.analysis.identification.commands import app
from polyglyph.clients.commands import app as root
from polyglyph.contract.expert_set import load_expert_set
from polyglyph.contract.exports import parquet
from polyglyph.contract.plan import load_plan
from tests.analysis.evidence_world import FINGERPRINT, drawn, shape, stats_of, trace, write_labels, write_traces
from tests.clients.fake_server import plan_of

LAYERS, EXPERTS, TOP_K = 6, 16, 2
PLANTED = (3, 5)
MODEL = shape(LAYERS, EXPERTS, TOP_K)
BINDING = {
    "architecture": "TinyMoe", "layers": LAYERS, "experts": EXPERTS, "top_k": TOP_K, "fingerprint": FINGERPRINT
}  # fmt: skip


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The folder of a labelled run: prompts that the model refuses select the planted expert more."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    traces, labels = [], []
    for number in range(60):
        label = ("refused", "other")[number % 2]
        weights_LE = np.ones((LAYERS, EXPERTS))
        if label == "refused":
            weights_LE[PLANTED] = 12.0
        traces.append(trace(drawn(weights_LE, 10, TOP_K, rng), request_id=f"p{number}"))
        labels.append(
            {
                "request_id": f"p{number}",
                "id": f"p{number}",
                "item": f"i{number}",
                "label": label,
                "right": number % 2 == 0,
            }
        )
    write_traces(folder / "traces.parquet", traces, model=MODEL)
    write_labels(folder / "labels.jsonl", labels)
    routers = [
        {
            "layer": layer,
            "model_layer": layer,
            "name": f"l{layer}",
            "kind": "softmax",
            "experts": EXPERTS,
            "top_k": TOP_K,
        }
        for layer in range(LAYERS)
    ]
    (folder / "model.json").write_text(json.dumps({"binding": BINDING, "routers": routers}))
    return folder


@pytest.fixture
def stats_file(tmp_path):
    rng = np.random.default_rng(0)
    groups = []
    for script in ("Latn", "Cyrl"):
        weights_LE = np.ones((LAYERS, EXPERTS))
        if script == "Latn":
            weights_LE[PLANTED] = 12.0
        ids = drawn(weights_LE, 500, TOP_K, rng)
        selected = (ids[..., None] == np.arange(EXPERTS)).sum(axis=(0, 2))
        groups.append(((script, script, "prompt", "", ""), 500, selected))
    path = tmp_path / "stats.parquet"
    with path.open("wb") as file:
        parquet.write(stats_of(*groups, model=MODEL).snapshot(), file)
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "words",
    [
        ("risk-difference", "--first", "refused"),
        ("task-experts", "--task", "refused", "--layers", "0-5"),
        ("contrast", "--of", "refused", "--others", "other"),
    ],
)
def test_a_method_writes_a_plan_for_the_model_that_was_asked_and_its_controls(run_folder, tmp_path, words):
    plan_file = tmp_path / "found.plan.json"
    result = run(words[0], run_folder, *words[1:], "-o", plan_file, "--controls", "2", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["experts"][0]["layer"], document["experts"][0]["expert"]) == PLANTED
    assert document["statistics"]["items"] == 60
    plan = load_plan(plan_file)
    assert plan.name == "found"
    assert plan.model.model_dump() == BINDING
    controls = [load_plan(tmp_path / f"found-random-{draw}.plan.json") for draw in (1, 2)]
    assert all(control.model == plan.model and control.fingerprint != plan.fingerprint for control in controls)
    assert "NaN" not in result.stdout


def test_core_experts_write_an_expert_set_and_a_plan_and_a_table_at_once(run_folder, tmp_path):
    files = [tmp_path / name for name in ("r.experts.json", "r.plan.json", "r.csv", "r.parquet")]
    outputs = [word for file in files for word in ("-o", file)]
    result = run(
        "core-experts", run_folder, "--positive", "true", "--by", "right", "--op", "add_std", "--value", "0.5", *outputs
    )
    assert result.exit_code == 0, result.output
    experts = load_expert_set(files[0])
    assert experts.weight_LE[PLANTED] > 0
    assert experts.bias is not None
    assert load_plan(files[1]).edits
    table = pl.read_parquet(files[3])
    assert len(table) == LAYERS * EXPERTS
    assert {"layer", "expert", "score", "chosen", "low", "high", "p", "q", "weight"} <= set(table.columns)
    assert pl.read_csv(files[2]).columns == table.columns


def test_data_goes_to_stdout_and_words_to_stderr(run_folder):
    result = run("contrast", run_folder, "--of", "refused")
    assert result.exit_code == 0, result.output
    assert "layer" in result.stdout
    assert "experts chosen" in result.stderr
    assert "experts chosen" not in result.stdout


def test_stats_compare_scripts_and_a_plan_of_them_must_be_bound(stats_file, tmp_path):
    words = ("risk-difference", stats_file, "--by", "script", "--first", "Latn", "--second", "Cyrl")
    plan_file = tmp_path / "p.plan.json"
    refused = run(*words, "-o", plan_file)
    assert "--bind" in str(refused.exception)
    assert not plan_file.exists()
    known = tmp_path / "known.plan.json"
    known.write_text(json.dumps(plan_of(model=BINDING).to_json()))
    result = run(*words, "-o", plan_file, "--bind", known)
    assert result.exit_code == 0, result.output
    assert "too optimistic" in result.stderr
    assert load_plan(plan_file).model.architecture == "TinyMoe"


def test_a_claim_about_scripts_comes_with_its_confounders(stats_file, run_folder):
    words = ("--by", "script", "--first", "Latn", "--second", "Cyrl", "--json")
    document = json.loads(run("risk-difference", stats_file, *words).stdout)
    assert document["statistics"]["confounders"]["column"] == "script"
    assert any("tokens in common" in note for note in document["notes"])
    other = json.loads(run("contrast", run_folder, "--of", "refused", "--json").stdout)
    assert "confounders" not in other["statistics"]


def test_random_deals_a_plan_anew_from_the_stats_of_its_model(run_folder, stats_file, tmp_path):
    plan_file, control_file = tmp_path / "p.plan.json", tmp_path / "c.plan.json"
    run("contrast", run_folder, "--of", "refused", "-o", plan_file)
    result = run("random", stats_file, "--of", plan_file, "--draw", "4", "-o", control_file)
    assert result.exit_code == 0, result.output
    plan, control = load_plan(plan_file), load_plan(control_file)
    assert control.model == plan.model
    assert control.fingerprint != plan.fingerprint
    again = tmp_path / "again.plan.json"
    run("random", stats_file, "--of", plan_file, "--draw", "4", "-o", again)
    assert load_plan(again).fingerprint == control.fingerprint


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("contrast", "--of", "refused", "-o", "plan.json"), "ends in .plan.json"),
        (("contrast", "--of", "refused", "--controls", "1"), "beside a plan"),
        (("contrast", "--of", "nothing"), "refused"),
        (("contrast", "--of", "refused", "--span", "answer"), "phase"),
        (("contrast", "--of", "refused", "--layers", "0-9"), "MoE layers 0 to 5"),
        (("contrast", "--of", "refused", "--op", "add_std"), "needs --value"),
        (("contrast", "--of", "refused", "--value", "2"), "takes no --value"),
        (("contrast", "--of", "refused", "--fdr", "0", "-o", "x.plan.json"), "no expert was chosen"),
        (("contrast", "--of", "refused", "-o", "x.experts.json"), "makes no expert set"),
        (("risk-difference", "--first", "refused,other"), "two groups or more"),
        (("contrast", "--of", "refused", "--bind", "nowhere.plan.json", "-o", "x.plan.json"), "nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words_and_nothing_is_written(run_folder, tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    result = run(words[0], run_folder, *words[1:])
    assert result.exit_code != 0
    assert text in str(result.exception) + result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("contrast", "--of", "refused", "--phases", "sometimes"),
        ("contrast", "--of", "refused", "--layers", "5-2"),
        ("contrast", "--of", "refused", "--op", "delete"),
        ("contrast",),
        ("task-experts", "--task", "refused", "--bands", "x", "--layers", "1"),
        ("core-experts", "--positive", "refused", "--value", "1"),
    ],
)
def test_options_that_say_nothing_are_wrong_usage(run_folder, words):
    assert run(words[0], run_folder, *words[1:]).exit_code == 2


def test_evidence_that_is_none_is_refused(tmp_path):
    missing = run("contrast", tmp_path / "nowhere", "--of", "refused")
    assert "no such file" in str(missing.exception)
    empty = run("contrast", tmp_path, "--of", "refused")
    assert "labelled run" in str(empty.exception)


def test_traces_of_two_models_are_refused(run_folder, tmp_path):
    rng = np.random.default_rng(0)
    ones = np.ones((LAYERS, EXPERTS))
    for name, fingerprint in (("a", FINGERPRINT), ("b", "sha256:" + "c" * 64)):
        model = shape(LAYERS, EXPERTS, TOP_K, fingerprint)
        write_traces(tmp_path / f"{name}.parquet", [trace(drawn(ones, 5, TOP_K, rng), request_id=name)], model=model)
    result = run("risk-difference", tmp_path, "--by", "script", "--first", "Latn")
    assert result.exit_code != 0
    assert "sha256:cccc" in str(result.exception)


def test_every_subcommand_explains_itself_without_heavy_packages():
    names = [command.name for command in app.registered_commands]
    assert names
    for name in names:
        result = run(name, "--help")
        assert result.exit_code == 0, name


def test_the_root_command_leads_to_a_refusal_without_a_traceback(run_folder, tmp_path):
    from importlib.metadata import entry_points

    if "identify" not in entry_points(group="polyglyph.commands").names:
        pytest.skip("this environment was installed before the command was there")
    result = CliRunner().invoke(root, ["identify", "contrast", str(tmp_path / "nowhere"), "--of", "x"])
    assert result.exit_code == 2
    assert "no such file" in result.stderr
