"""Tuning only the routers: what changes, what does not, and that a tuning that was cut off ends as it would have."""

import math

import numpy as np
import pytest
import torch
from safetensors import safe_open

from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.router_lens import Options, identify
from polyglyph.analysis.offline.errors import OfflineError, TuningCheckpointError
from polyglyph.analysis.offline.examples import Example
from polyglyph.analysis.offline.offline_model import read_model
from polyglyph.analysis.offline.passing import count_selections
from polyglyph.analysis.offline.router_file import save_routers
from polyglyph.analysis.offline.tuning import Tuning, completion_losses, tune, with_routers
from tests.support.tiny_architectures import EXPERTS, TOP_K, VOCAB, tiny

TUNING = Tuning(num_steps=12, num_examples=4, learning_rate=3e-2)


def tasks_of(num_tasks=12, *, items=None):
    generator = np.random.default_rng(0)
    ids = generator.integers(3, VOCAB, (num_tasks, 8)).tolist()
    return [Example(tuple(row), 5, str(index % (items or num_tasks))) for index, row in enumerate(ids)]


@pytest.fixture(scope="module")
def model():
    return read_model(tiny("Qwen3Moe"))


@pytest.fixture(scope="module")
def tuned(model):
    return tune(model, tasks_of(), TUNING)


@pytest.mark.parametrize("name", ["Mixtral", "DeepseekV3", "GptOss"])
def test_only_router_weights_change_while_a_router_is_tuned(name):
    model = read_model(tiny(name))
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    routers = tune(model, tasks_of(), TUNING)
    with with_routers(model, routers):
        after = {key: value.clone() for key, value in model.model.state_dict().items()}
    changed = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert changed == set(routers)
    assert all(".router." in key or ".gate." in key for key in changed)


def test_the_loss_of_the_task_falls(model, tuned):
    before = sum(completion_losses(model, tasks_of()))
    with with_routers(model, tuned):
        after = sum(completion_losses(model, tasks_of()))
    assert after < before - 1.0


def test_the_model_is_left_as_it_was(model, tuned):
    fresh = tiny("Qwen3Moe").state_dict()
    assert all(torch.equal(value, fresh[key]) for key, value in model.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.model.parameters())


def test_the_loss_is_that_of_the_completions_tokens(model):
    (task,) = tasks_of(1)
    with torch.no_grad():
        logits = model.model(input_ids=torch.tensor([task.ids])).logits[0]
    own = logits.log_softmax(dim=-1)[range(4, 7), task.ids[5:]]
    assert completion_losses(model, [task])[0] == pytest.approx(-float(own.sum()), rel=1e-5)


def test_a_tuning_that_was_cut_off_ends_as_it_would_have(model, tuned, tmp_path):
    path = tmp_path / "tuning.safetensors"
    tune(model, tasks_of(), TUNING, checkpoint=path, stop_at=5)
    steps = []
    resumed = tune(model, tasks_of(), TUNING, checkpoint=path, report=lambda step: steps.append(step.step))
    assert steps == list(range(6, 13))
    assert all(torch.equal(resumed[name], tuned[name]) for name in tuned)


def test_the_same_seed_gives_the_same_routers_and_another_seed_others(model, tuned):
    again = tune(model, tasks_of(), TUNING)
    assert all(torch.equal(again[name], tuned[name]) for name in tuned)
    other = tune(model, tasks_of(), Tuning(num_steps=12, num_examples=4, learning_rate=3e-2, seed=1))
    assert any(not torch.equal(other[name], tuned[name]) for name in tuned)


def test_a_checkpoint_of_another_task_is_refused(model, tmp_path):
    path = tmp_path / "tuning.safetensors"
    tune(model, tasks_of(), TUNING, checkpoint=path, stop_at=1)
    with pytest.raises(TuningCheckpointError, match="belongs to a tuning of another model, task or setting"):
        tune(model, tasks_of(11), TUNING, checkpoint=path)


def test_a_damaged_checkpoint_is_refused(model, tmp_path):
    path = tmp_path / "tuning.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(TuningCheckpointError, match="is damaged"):
        tune(model, tasks_of(), TUNING, checkpoint=path)


def test_examples_without_completion_are_refused(model):
    with pytest.raises(OfflineError, match="needs examples with completions"):
        tune(model, [Example((3, 4), 2, "a")], TUNING)


def test_a_bfloat16_router_learns_in_small_steps():
    model = read_model(tiny("Qwen3Moe").to(torch.bfloat16))
    small = Tuning(num_steps=8, num_examples=4, learning_rate=1e-5)
    routers = tune(model, tasks_of(), small)
    name = f"{model.layers[0].router_name}.weight"
    assert 0 < float((routers[name] - model.layers[0].weight.detach().float()).abs().max()) < 1e-3


def test_the_experts_are_the_most_selected_of_each_layer_with_the_tuned_router(model, tuned):
    lens = identify(model, tasks_of(), TUNING, Options(top=3, held_out=0.0))
    with with_routers(model, lens.routers):
        frequencies_LE = count_selections(model, tasks_of()).frequencies_LE
    best = {
        (layer, int(expert)) for layer in range(3) for expert in np.argsort(-frequencies_LE[layer], kind="stable")[:3]
    }
    assert set(lens.found.chosen) == best
    rows = lens.found.table.to_dicts()
    assert all(row["score"] == pytest.approx(frequencies_LE[row["layer"], row["expert"]]) for row in rows)
    assert all(row["low"] <= row["shift"] <= row["high"] for row in rows if row["shift"])
    assert all(torch.equal(lens.routers[name], tuned[name]) for name in tuned)


def test_frequencies_of_a_layer_add_up_to_k_before_and_after(model):
    table = identify(model, tasks_of(), TUNING, Options(held_out=0.0)).found.table
    sums = table.group_by("layer").sum()
    assert sums["score"].to_list() == pytest.approx([TOP_K] * 3)
    assert sums["untuned"].to_list() == pytest.approx([TOP_K] * 3)


def test_items_that_are_held_out_are_not_tuned_on(model):
    tasks = tasks_of(24, items=12)
    found = identify(model, tasks, TUNING, Options(held_out=0.25)).found
    loss = found.statistics["loss"]
    assert (loss["tuned_on"]["examples"], loss["held_out"]["examples"]) == (18, 6)
    assert "held out" in found.notes[1]


def test_one_item_has_no_interval_and_no_nan(model):
    found = identify(model, tasks_of(4, items=1), TUNING).found
    assert found.table["low"].null_count() == len(found.table)
    assert not any(isinstance(value, float) and math.isnan(value) for row in found.table.rows() for value in row)


def test_the_plan_steers_by_half_a_standard_deviation_unless_told_otherwise(model):
    plan = identify(model, tasks_of(), TUNING, Options(top=2)).found.plan("task")
    assert {(edit.op, edit.value) for edit in plan.edits} == {("add_std", 0.5)}
    banned = identify(model, tasks_of(), TUNING, Options(top=2, layers=(1,), editing=Editing(op=Operation.BAN))).found
    assert [(edit.layer, edit.op) for edit in banned.plan("task").edits] == [(1, "ban")]


def test_every_expert_of_a_layer_is_said_to_be_no_choice(model):
    found = identify(model, tasks_of(), TUNING, Options(top=EXPERTS)).found
    assert "every expert that the task selects" in found.notes[-1]


def test_a_layer_that_is_not_there_is_refused_before_anything_is_tuned(model):
    with pytest.raises(IdentificationError, match="the model has MoE layers 0 to 2, got 7"):
        identify(model, tasks_of(), TUNING, Options(layers=(7,)), report=pytest.fail)


def test_saved_routers_make_the_tuned_model_with_the_fingerprint_that_they_name(model, tuned, tmp_path):
    path = tmp_path / "routers.safetensors"
    save_routers(path, model, tuned)
    overlaid = tiny("Qwen3Moe")
    with safe_open(path, framework="pt") as file:
        overlaid.load_state_dict({name: file.get_tensor(name) for name in file.keys()}, strict=False)  # noqa: SIM118 - no dict
        metadata = file.metadata()
    assert metadata["base"] == model.binding.fingerprint
    assert metadata["fingerprint"] == read_model(overlaid).binding.fingerprint != metadata["base"]
