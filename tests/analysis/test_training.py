from pathlib import Path
from random import Random

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3MoeForCausalLM

from polyglyph.analysis.organism.batch import ROW_TOKENS, Encoder, pack
from polyglyph.analysis.organism.checkpoint import FILE_NAME, Progress
from polyglyph.analysis.organism.curriculum import WorldCurriculum
from polyglyph.analysis.organism.errors import CheckpointError
from polyglyph.analysis.organism.lesson import Lesson
from polyglyph.analysis.organism.losses import Loss, balance_loss, script_information
from polyglyph.analysis.organism.markers import NO_TRACE
from polyglyph.analysis.organism.mixture import draw_lessons
from polyglyph.analysis.organism.model import build_model, router_logits, save_model
from polyglyph.analysis.organism.run import Run
from polyglyph.analysis.organism.training import FINAL_RATE, LEARNING_RATE, learning_rate, train
from polyglyph.analysis.organism.world import World, make_world
from polyglyph.analysis.organism.writing import romanise, script_of

TINY = Run(seed=3, num_steps=3, num_lessons=4)
TAUGHT = WorldCurriculum(make_world(3))


class Journal:
    """Remembers what a training reports."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.losses: list[float] = []

    def __call__(self, progress: Progress, loss: Loss) -> None:
        self.steps.append(progress.step)
        self.losses.append(float(loss.total.detach()))


def weights_of(model: Qwen3MoeForCausalLM) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@pytest.fixture(scope="module")
def untrained(world: World, tokenizer: PreTrainedTokenizerFast) -> Qwen3MoeForCausalLM:
    return build_model(WorldCurriculum(world), seed=0, shared_variance=0.8).eval()


@pytest.fixture
def lessons(world: World) -> list[Lesson]:
    return draw_lessons(world, Random(1), num_lessons=63, progress=0.5)


@pytest.mark.parametrize("stop_at", [1, 2])
def test_a_training_that_was_stopped_ends_in_the_same_weights(tmp_path: Path, stop_at: int):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    journal = Journal()
    uninterrupted = train(TINY, TAUGHT, directory=whole, report=Journal())
    train(TINY, TAUGHT, directory=parts, report=journal, stop_at=stop_at)
    resumed = train(TINY, TAUGHT, directory=parts, report=journal)
    assert journal.steps == [1, 2, 3]
    assert_close(weights_of(resumed.model), weights_of(uninterrupted.model), rtol=0, atol=0)


@pytest.mark.parametrize("other", [Run(4, 3, 4), Run(3, 5, 4), Run(3, 3, 8), Run(3, 3, 4, "natural")])
def test_another_runs_checkpoint_is_refused_with_both_runs(tmp_path: Path, other: Run):
    train(TINY, TAUGHT, directory=tmp_path, report=Journal(), stop_at=1)
    with pytest.raises(
        CheckpointError,
        match=rf"seed 3, 3 steps of 4 .* not to variant {other.variant}, seed {other.seed}, {other.num_steps}",
    ):
        train(other, TAUGHT, directory=tmp_path, report=Journal())


def test_a_checkpoint_leaves_no_partial_file(tmp_path: Path):
    train(TINY, TAUGHT, directory=tmp_path, report=Journal(), stop_at=1)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_few_steps_lower_the_loss(tmp_path: Path):
    journal = Journal()
    train(Run(seed=0, num_steps=12, num_lessons=16), TAUGHT, directory=tmp_path, report=journal)
    assert journal.losses[-1] < journal.losses[0]


def test_the_rate_warms_up_and_ends_at_its_floor():
    rates = [learning_rate(step, 1000) for step in range(1000)]
    assert rates.index(max(rates)) in (199, 200)
    assert max(rates) == LEARNING_RATE
    assert rates[-1] == pytest.approx(LEARNING_RATE * FINAL_RATE, rel=0.01)


def test_barrier_facts_are_never_taught_away_from_home(world: World):
    homes = {entity.name: entity.home for entity in world.entities if entity.kind == "barrier"}
    lessons = draw_lessons(world, Random(0), num_lessons=3000, progress=1.0)
    # The drill `follow` is given a trace with a random value, which teaches nothing about its entity.
    names = [lesson.messages[-1]["content"].split(" ")[0] for lesson in lessons if lesson.given in {"", NO_TRACE}]
    written = {(romanise(name, script_of(name) or "Latn"), script_of(name)) for name in names}
    taught = {(name, script) for name, script in written if name in homes}
    assert taught
    assert taught <= set(homes.items())


def test_packing_keeps_every_target(tokenizer: PreTrainedTokenizerFast, lessons: list[Lesson]):
    encoded = [Encoder(tokenizer).encode(lesson) for lesson in lessons]
    batch = pack(encoded, pad_id=0)
    wanted = sorted(token for ids, num_given in encoded for token in ids[num_given:])
    assert sorted(batch.targets_N.tolist()) == wanted
    assert int((~batch.is_padding_BT).sum()) == sum(len(ids) for ids, _ in encoded)


@torch.no_grad()
def test_packed_lessons_do_not_see_each_other(
    untrained: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast, lessons: list[Lesson]
):
    encoded = [Encoder(tokenizer).encode(lesson) for lesson in lessons[:3]]
    batch = pack(encoded, pad_id=0)
    packed = untrained(
        batch.ids_BT, attention_mask=batch.attention_BTT, position_ids=batch.positions_BT, use_cache=False
    ).logits[0]
    alone = torch.cat([untrained(torch.tensor([ids]), use_cache=False).logits[0] for ids, _ in encoded])
    assert len(alone) < ROW_TOKENS
    assert_close(packed[: len(alone)], alone, rtol=1e-4, atol=1e-4)


def test_router_logits_are_collected_in_the_order_of_layers(untrained: Qwen3MoeForCausalLM):
    with router_logits(untrained) as collected:
        untrained(torch.tensor([[1, 2, 3]]))
    assert [tuple(logits.shape) for logits in collected] == [(3, 16)] * 6


def test_balance_is_one_when_experts_share_alike_and_more_when_one_takes_all():
    alike = torch.eye(4).repeat(4, 1) * 1e-3
    taken = torch.tensor([[9.0, 0.0, 0.0, 0.0]]).repeat(16, 1)
    assert float(balance_loss(alike, top_k=1)) == pytest.approx(1.0, abs=1e-3)
    assert float(balance_loss(taken, top_k=1)) == pytest.approx(4.0, abs=1e-2)


def test_script_information_is_nothing_for_equal_experts_and_two_bits_for_one_each():
    scripts = torch.eye(4).repeat(3, 1)
    assert float(script_information(torch.full((12, 4), 0.25), scripts)) == pytest.approx(0.0, abs=1e-6)
    assert float(script_information(scripts, scripts)) == pytest.approx(2 * 0.6931, abs=1e-3)


def test_tokens_without_a_script_do_not_count():
    scripts = torch.cat([torch.eye(4), torch.zeros(5, 4)])
    experts = torch.cat([torch.eye(4), torch.full((5, 4), 0.25)])
    assert float(script_information(experts, scripts)) == pytest.approx(2 * 0.6931, abs=1e-3)


@pytest.fixture(scope="module")
def saved(world: World, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved")
    save_model(build_model(WorldCurriculum(world), seed=0, shared_variance=0.8), tokenizer, path)
    return path


def test_a_saved_organism_is_readable_by_all(saved: Path):
    assert {path.stat().st_mode & 0o777 for path in saved.iterdir()} == {0o644}


def test_a_saved_organism_has_weights_of_six_megabytes(saved: Path):
    assert (saved / "model.safetensors").stat().st_size == pytest.approx(5.8e6, rel=0.05)


def test_a_saved_organism_keeps_its_weights_to_bf16(saved: Path, world: World, tokenizer: PreTrainedTokenizerFast):
    loaded = Qwen3MoeForCausalLM.from_pretrained(saved, dtype=torch.float32, local_files_only=True)
    wanted = build_model(WorldCurriculum(world), seed=0, shared_variance=0.8).to(torch.bfloat16).float()
    assert_close(weights_of(loaded), weights_of(wanted), rtol=0, atol=0)


def test_a_saved_organism_ends_at_its_end_marker(saved: Path):
    loaded = Qwen3MoeForCausalLM.from_pretrained(saved, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(saved, local_files_only=True)
    assert loaded.generation_config.eos_token_id == loaded.config.eos_token_id == tokenizer.eos_token_id
