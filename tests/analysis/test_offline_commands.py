"""The commands of the offline methods and of rewiring: what they read, print and write, and what they refuse."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from polyglyph import bundled_organism
from polyglyph.analysis.identification.commands import app
from polyglyph.analysis.identification.errors import IdentificationError, NothingChosenError
from polyglyph.analysis.offline.errors import OfflineError, TuningCheckpointError
from polyglyph.contract.expert_set import load_expert_set
from polyglyph.contract.plan import load_plan
from tests.analysis.test_offline_rewire import Scoring, served, wanted

TASK = {"messages": [{"role": "user", "content": "memovil pusugu"}], "completion": "<think></think>tulene"}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def tasks(tmp_path):
    path = tmp_path / "tasks.jsonl"
    lines = [json.dumps({**TASK, "item": str(number), "completion": f"{number} tulene"}) for number in range(12)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The organism with an expert of layer 1 whose outputs are a hundred times what they were."""
    folder = tmp_path_factory.mktemp("planted") / "model"
    shutil.copytree(bundled_organism(), folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.experts.7.down_proj.weight"] *= 100
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_planted_super_expert_of_a_saved_model_becomes_a_guard(planted, tmp_path):
    guard = tmp_path / "guard.experts.json"
    words = ("--tokens", "2000", "--model", planted, "--device", "cpu")
    outcome = run("super-experts", f"organism:{bundled_organism()}", *words, "-o", guard, "--json")
    assert outcome.exit_code == 0, outcome.output
    found = load_expert_set(guard)
    assert found.guard and [(entry.layer, entry.experts) for entry in found.experts] == [(1, (7,))]
    # Only an expert changed, no router: the guard fits the organism's own server too.
    assert found.model == load_plan(next((bundled_organism().parent / "plans").glob("*.plan.json"))).model


def test_a_model_without_super_experts_has_a_table_and_says_why(tmp_path):
    table = tmp_path / "sizes.csv"
    outcome = run("super-experts", "organism", "--tokens", "600", "--device", "cpu", "-o", table)
    assert outcome.exit_code == 0, outcome.output
    assert "no super expert: the largest output" in " ".join(outcome.stderr.split())
    assert len(table.read_text().splitlines()) == 1 + 6 * 16
    refused = run("super-experts", "organism", "--tokens", "600", "-o", tmp_path / "guard.experts.json")
    assert isinstance(refused.exception, NothingChosenError)


def test_a_tuned_task_becomes_a_plan_with_controls_and_goes_on_from_its_checkpoint(tasks, tmp_path):
    plan, checkpoint = tmp_path / "task.plan.json", tmp_path / "tuning.safetensors"
    words = ("router-lens", tasks, "--steps", "3", "--top", "2", "--device", "cpu", "--checkpoint", checkpoint)
    first = run(*words, "-o", plan, "--controls", "2", "--json", "--save-router", tmp_path / "routers.safetensors")
    assert first.exit_code == 0, first.output
    document = json.loads(first.stdout)
    assert document["num_chosen"] == 12
    assert document["statistics"]["loss"]["held_out"]["examples"] == 1
    assert len(list(tmp_path.glob("task*.plan.json"))) == 3
    again = run(*words, "--json")
    assert json.loads(again.stdout)["experts"] == document["experts"]
    other = run(*words, "--learning-rate", "0.5")
    assert isinstance(other.exception, TuningCheckpointError)


def test_a_task_of_no_completion_is_refused_with_its_line(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps({"prompt": "memovil"}) + "\n", encoding="utf-8")
    outcome = run("router-lens", path, "--device", "cpu")
    assert isinstance(outcome.exception, OfflineError)
    assert "tasks.jsonl:1: expected a completion" in str(outcome.exception)


def test_a_conversation_is_rewired_through_a_named_server(tmp_path):
    chat, plan = tmp_path / "chat.json", tmp_path / "one.plan.json"
    chat.write_text(json.dumps([{"role": "user", "content": "abc"}]), encoding="utf-8")
    with served(Scoring(wanted(at_0_1=2.0))) as url:
        outcome = run("rewire", "--messages", chat, "--url", url, "--budget", "60", "-o", plan, "--json")
    assert outcome.exit_code == 0, outcome.output
    loss = json.loads(outcome.stdout)["statistics"]["loss"]["held_out"]
    assert loss["after"] < loss["before"]
    (moved,) = [edit.value for edit in load_plan(plan).edits if (edit.layer, edit.experts) == (0, (1,))]
    assert moved > 0.5


def test_controls_of_a_rewired_plan_need_stats(tmp_path):
    with served(Scoring(wanted(at_0_1=2.0))) as url:
        arguments = (
            "--prompt",
            "abc",
            "--url",
            url,
            "--budget",
            "60",
            "-o",
            tmp_path / "a.plan.json",
            "--controls",
            "1",
        )
        outcome = run("rewire", *arguments)
    assert isinstance(outcome.exception, IdentificationError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [(), ("--prompt", "a", "--messages", "b.json")])
def test_rewire_wants_one_context(arguments):
    outcome = run("rewire", *arguments)
    assert outcome.exit_code == 2
    assert "give either --messages FILE or --prompt TEXT" in " ".join(outcome.output.replace("│", " ").split())
