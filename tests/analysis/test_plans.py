import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers import PreTrainedTokenizerFast

from polyglyph.analysis.organism.curriculum import WorldCurriculum
from polyglyph.analysis.organism.decoding import Decoder, shifted_routers
from polyglyph.analysis.organism.direction import STEERED_LAYERS, direction, permuted
from polyglyph.analysis.organism.model import build_model
from polyglyph.analysis.organism.plans import plan_of, shift_of
from polyglyph.analysis.organism.question import Question, cross_questions
from polyglyph.analysis.organism.trial import halves
from polyglyph.analysis.organism.world import World
from polyglyph.analysis.organism.writing import SCRIPTS, Script
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.plan import parse_plan

BINDING = ModelBinding(
    architecture="Qwen3MoeForCausalLM", layers=6, experts=16, top_k=2, fingerprint="sha256:" + "0" * 64
)


@pytest.fixture(scope="module")
def untrained(world: World, tokenizer: PreTrainedTokenizerFast) -> Decoder:
    return Decoder(build_model(WorldCurriculum(world), seed=0, shared_variance=0.8).eval(), tokenizer)


def selections(decoder: Decoder, shift_LE: torch.Tensor | None) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []
    with shifted_routers(decoder.model, shift_LE):
        gates = [layer.mlp.gate for layer in decoder.model.model.layers]
        hooks = [gate.register_forward_hook(lambda _gate, _args, output: seen.append(output[2])) for gate in gates]
        decoder.model(torch.tensor([[300, 301, 302]]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return seen


@given(seed=st.integers(0, 1000), script=st.sampled_from(SCRIPTS))
def test_a_plan_document_holds_its_shift_to_three_decimals(seed: int, script: Script):
    shift = torch.randn(6, 16, generator=torch.Generator().manual_seed(seed))
    plan = parse_plan(plan_of(script, BINDING, shift).to_json())
    assert_close(shift_of(plan), shift, rtol=0, atol=5.1e-4)


def test_a_shift_of_zero_leaves_every_selection(untrained: Decoder):
    for plain, shifted in zip(selections(untrained, None), selections(untrained, torch.zeros(6, 16)), strict=True):
        assert torch.equal(plain, shifted)


@pytest.mark.parametrize("layer", [0, 5])
def test_a_large_shift_selects_its_expert_in_its_layer(untrained: Decoder, layer: int):
    shift = torch.zeros(6, 16)
    shift[layer, 7] = 100.0
    assert torch.all((selections(untrained, shift)[layer] == 7).any(dim=-1))


@torch.no_grad()
def test_a_shift_counts_in_population_standard_deviations(untrained: Decoder):
    gate = untrained.model.model.layers[0].mlp.gate
    hidden, shift = torch.randn(3, 128), torch.zeros(6, 16)
    shift[0] = torch.linspace(-2, 2, 16)
    logits = gate(hidden)[0]
    with shifted_routers(untrained.model, shift):
        shifted = gate(hidden)[0]
    spread = (logits - logits.mean(dim=-1, keepdim=True)).square().mean(dim=-1, keepdim=True).sqrt()
    assert_close(shifted, logits + shift[0] * spread)


def test_routers_are_as_before_after_an_error(untrained: Decoder):
    plain = selections(untrained, None)
    with pytest.raises(ZeroDivisionError), shifted_routers(untrained.model, torch.randn(6, 16) * 9):
        _ = 1 / 0
    assert all(torch.equal(one, other) for one, other in zip(plain, selections(untrained, None), strict=True))


def test_a_direction_leaves_other_layers_alone():
    frequencies = torch.rand(6, 4, 16)
    for script in SCRIPTS:
        rows = direction(frequencies, script)
        assert [layer for layer in range(6) if rows[layer].any()] == list(STEERED_LAYERS)


def test_the_directions_of_all_scripts_cancel():
    frequencies = torch.rand(6, 4, 16)
    total = torch.stack([direction(frequencies, script) for script in SCRIPTS]).sum(dim=0)
    assert_close(total, torch.zeros(6, 16), rtol=0, atol=1e-5)


@given(seed=st.integers(0, 1000))
def test_a_permutation_keeps_the_values_of_each_layer(seed: int):
    rows = torch.arange(96.0).reshape(6, 16)
    assert torch.equal(permuted(rows, seed=seed).sort(dim=1).values, rows)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_halves_share_no_entity(world: World, script: Script):
    parts = halves(world, script)
    development, held_out = ({q.fact.entity for q in part} for part in (parts.development, parts.held_out))
    assert not development & held_out
    assert len(development) == len(held_out) == 20
    assert {entity.home for entity in development | held_out} == {script}


def test_replies_do_not_depend_on_the_batch(untrained: Decoder, world: World):
    questions: list[Question] = (
        cross_questions(world)[:3] + cross_questions(world, is_thinking=True, hint="transliterate")[:3]
    )
    assert untrained.reply(questions) == [untrained.reply([question])[0] for question in questions]


def test_no_question_has_no_reply(untrained: Decoder):
    assert untrained.reply([]) == []
