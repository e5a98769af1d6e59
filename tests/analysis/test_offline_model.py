"""The offline pass reads what transformers itself computes, on several architectures."""

import pytest
import torch

from polyglyph import bundled_organism, bundled_plans
from polyglyph.analysis.offline.errors import OfflineError, UnreadableModelError
from polyglyph.analysis.offline.examples import Example, read_tasks, read_texts
from polyglyph.analysis.offline.expert_outputs import recombined
from polyglyph.analysis.offline.offline_model import load_offline, read_model
from polyglyph.analysis.offline.passing import count_selections, measure_outputs, pass_over
from polyglyph.analysis.offline.recording import recording
from polyglyph.contract.plan import load_plan
from tests.support.organism_binding import bind
from tests.support.tiny_architectures import EXPERTS, MOE, TOP_K, VOCAB, tiny

SIZES = (1, 7, 63, 2)


def examples_of(sizes=SIZES, *, seed=0):
    torch.manual_seed(seed)
    return [
        Example(tuple(torch.randint(3, VOCAB, (size,)).tolist()), size, str(index)) for index, size in enumerate(sizes)
    ]


@pytest.fixture(scope="module")
def organism():
    return load_offline(bundled_organism(), device="cpu")


@pytest.mark.parametrize("name", MOE)
def test_the_recorded_logits_are_those_that_transformers_records(name):
    model = read_model(tiny(name))
    ids = torch.randint(3, VOCAB, (2, 9))
    with torch.no_grad(), recording(model.layers) as recorded:
        output = model.model(input_ids=ids, output_router_logits=True)
    records = recorded.take()
    assert len(records) == len(output.router_logits) == model.binding.layers
    for theirs, ours in zip(output.router_logits, records, strict=True):
        assert torch.equal(theirs.reshape(-1, EXPERTS), ours.logits_TE)


@pytest.mark.parametrize("name", MOE)
def test_the_selected_experts_are_those_that_the_experts_module_is_given(name):
    model = read_model(tiny(name))
    given = []
    hook = model.layers[-1].experts.register_forward_pre_hook(
        lambda _module, args, kwargs: given.append((*args, *kwargs.values())), with_kwargs=True
    )
    passed = list(pass_over(model, examples_of((9,))))
    hook.remove()
    whole = [tensor for tensor in given[0] if not tensor.is_floating_point()]
    assert torch.equal(passed[0].layers[-1].ids_TK, whole[0])
    assert passed[0].layers[-1].ids_TK.shape == (9, TOP_K)


@pytest.mark.parametrize("name", MOE)
def test_single_experts_outputs_recombine_to_what_the_block_computes(name):
    model = read_model(tiny(name))
    for passed in pass_over(model, examples_of()):
        for layer, record in zip(model.layers, passed.layers, strict=True):
            assert torch.allclose(recombined(layer, record), record.output_TH, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["Qwen3Moe", "DeepseekV3", "GptOss"])
def test_padding_counts_nothing_and_changes_no_selection(name):
    model = read_model(tiny(name))
    examples = examples_of()
    together = count_selections(model, examples, batch_tokens=10_000)
    alone = [count_selections(model, [example]) for example in examples]
    assert (together.selected_NLE.sum(axis=2) == TOP_K * together.tokens_N[:, None]).all()
    for index, one in enumerate(alone):
        assert (together.selected_NLE[index] == one.selected_NLE[0]).all()


def test_output_sizes_are_those_of_each_expert_run_alone():
    model = read_model(tiny("Mixtral"))
    examples = examples_of((9, 5))
    sizes = measure_outputs(model, examples)
    layer = model.layers[1]
    hidden, ids = [], []
    for passed in pass_over(model, examples):
        hidden.append(passed.layers[1].hidden_TH)
        ids.append(passed.layers[1].ids_TK)
    hidden_TH, ids_TK = torch.cat(hidden), torch.cat(ids)
    expert = int(ids_TK[0, 0])
    gate, up = (hidden_TH[(ids_TK == expert).any(dim=1)] @ layer.experts.gate_up_proj[expert].T).chunk(2, dim=-1)
    outputs = (torch.nn.functional.silu(gate) * up) @ layer.experts.down_proj[expert].T
    assert sizes.tokens_LE[1, expert] == len(outputs)
    assert sizes.max_abs_LE[1, expert].item() == pytest.approx(float(outputs.detach().abs().max()), rel=1e-5)
    assert sizes.norm_sum_LE[1, expert].item() == pytest.approx(float(outputs.detach().norm(dim=-1).sum()), rel=1e-5)


def test_an_expert_that_computed_no_token_has_no_size():
    model = read_model(tiny("Mixtral"))
    sizes = measure_outputs(model, examples_of((1,)))
    assert int((sizes.tokens_LE == 0).sum()) == model.binding.layers * (EXPERTS - TOP_K)
    assert not sizes.max_abs_LE[sizes.tokens_LE == 0].any()


def test_the_organism_is_bound_as_its_plans_are(organism):
    plan = load_plan(bundled_plans() / "to-cyrl.plan.json")
    assert organism.binding == plan.model == bind(bundled_organism())


def test_a_bfloat16_model_is_bound_alike(organism):
    assert load_offline(bundled_organism(), device="cpu", dtype="bfloat16").binding == organism.binding


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Qwen3", "Qwen3ForCausalLM: expected a Mixture-of-Experts model"),
        ("Llama4Text", "Llama4ForCausalLM: expected a Mixture-of-Experts model"),
    ],
)
def test_a_model_whose_experts_cannot_be_told_apart_is_refused_by_its_class(name, words):
    with pytest.raises(UnreadableModelError, match=words):
        read_model(tiny(name))


def test_a_layer_whose_router_is_not_recorded_is_refused_by_its_class():
    model = tiny("Qwen3Moe")
    model.model.layers[1].mlp.gate = torch.nn.Linear(32, EXPERTS)
    with pytest.raises(UnreadableModelError, match=r"layers\.1\.mlp \(Qwen3MoeSparseMoeBlock\): found its experts"):
        read_model(model)


def test_experts_that_do_not_add_up_are_refused(monkeypatch):
    model = tiny("Qwen3Moe")
    whole = type(model.model.layers[0].mlp.experts).forward

    def twisted(self, hidden_states, top_k_index, top_k_weights):
        return whole(self, hidden_states, top_k_index, top_k_weights**2)

    monkeypatch.setattr(type(model.model.layers[0].mlp.experts), "forward", twisted)
    with pytest.raises(UnreadableModelError, match="does not give the sum of its experts' outputs"):
        read_model(model)


def test_texts_and_chats_are_read_to_the_token_limit(organism, tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text(
        '{"id": "a", "text": "memovil pusugu"}\n{"id": "b", "messages": [{"role": "user", "content": "memovil"}]}\n',
        encoding="utf-8",
    )
    text, chat = read_texts(path, organism.tokenizer)
    assert (text.item, chat.item) == ("a", "b")
    assert organism.tokenizer.decode(chat.ids) == "<|user|>memovil<|end|><|assistant|>"
    assert sum(len(each.ids) for each in read_texts(path, organism.tokenizer, max_tokens=3)) == 3


def test_a_task_ends_with_the_end_token_and_knows_its_prompt(organism, tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"item": "x", "prompt": "memovil ", "completion": "pusugu"}\n', encoding="utf-8")
    (task,) = read_tasks(path, organism.tokenizer)
    assert organism.tokenizer.decode(task.ids[: task.num_prompt]) == "memovil "
    assert organism.tokenizer.decode(task.ids[task.num_prompt :]) == "pusugu<|end|>"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "a"}', "tasks.jsonl:1: expected a completion"),
        ('{"prompt": "a", "messages": [{"role": "user", "content": "a"}], "completion": "b"}', "either prompt"),
        ('{"completion": "b"}', "either prompt"),
        ("[1]", "expected an object"),
        ("", "found none"),
    ],
)
def test_a_line_that_is_no_task_is_refused_with_its_place(organism, tmp_path, line, words):
    path = tmp_path / "tasks.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(OfflineError, match=words):
        read_tasks(path, organism.tokenizer)


def test_a_folder_that_is_no_model_is_refused_with_its_name(tmp_path):
    with pytest.raises(OfflineError, match="transformers cannot load it"):
        load_offline(tmp_path, device="cpu")
