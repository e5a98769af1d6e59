"""Training the organism from nothing: 5 to 15 minutes on one or two CPU cores."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.optim import AdamW
from transformers import PreTrainedTokenizerFast, Qwen3MoeForCausalLM

from polyglyph.analysis.organism.batch import Batch, Encoder, pack
from polyglyph.analysis.organism.checkpoint import FILE_NAME, Progress, load_checkpoint, save_checkpoint
from polyglyph.analysis.organism.lesson import draw_lessons
from polyglyph.analysis.organism.losses import (
    SCRIPT_LAYERS,
    Loss,
    balance_loss,
    completion_loss,
    script_information,
    z_loss,
)
from polyglyph.analysis.organism.model import TOP_K, build_model, router_logits
from polyglyph.analysis.organism.run import Run
from polyglyph.analysis.organism.tokenizer import build_tokenizer, token_scripts
from polyglyph.analysis.organism.world import World, make_world
from polyglyph.analysis.organism.writing import SCRIPTS

LEARNING_RATE = 2e-3
FINAL_RATE = 0.05
NUM_WARMUP_STEPS = 200
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
MAX_GRADIENT_NORM = 1.0
CHECKPOINT_EVERY = 100

Report = Callable[[Progress, Loss], None]


@dataclass(frozen=True)
class Trained:
    """What a training gives.

    Attributes:
        model: Float32, on the CPU.
        tokenizer: Of the world it was trained on.
        world: That world.
        progress: Steps and seconds it took.
    """

    model: Qwen3MoeForCausalLM
    tokenizer: PreTrainedTokenizerFast
    world: World
    progress: Progress


def train(run: Run, *, directory: Path, report: Report, stop_at: int | None = None) -> Trained:
    """Train, going on from the directory's checkpoint if there is one.

    Args:
        run: Seed (of world, weights and lessons), steps and lessons per step.
        directory: Where the checkpoint lies.
        report: Called after every step.
        stop_at: Stop after this step, with a checkpoint; the schedule stays that of the whole run.

    Raises:
        CheckpointError: The checkpoint belongs to another run.
    """
    world = make_world(run.seed)
    tokenizer = build_tokenizer(world)
    model = build_model(world, tokenizer, seed=run.seed).train()
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY)
    checkpoint = directory / FILE_NAME
    progress = load_checkpoint(checkpoint, model, optimizer, run) if checkpoint.exists() else Progress(run, 0, 0.0)

    lessons = _Lessons(world, tokenizer, run)
    last = run.num_steps if stop_at is None else stop_at
    while progress.step < last:
        started = time.monotonic()
        loss = _step(model, optimizer, lessons, progress.step)
        progress = Progress(run, progress.step + 1, progress.seconds + time.monotonic() - started)
        report(progress, loss)
        if progress.step % CHECKPOINT_EVERY == 0 or progress.step == last:
            save_checkpoint(checkpoint, model, optimizer, progress)
    return Trained(model.eval(), tokenizer, world, progress)


def learning_rate(step: int, num_steps: int) -> float:
    """Give the rate of a step: linear warm-up, then a cosine down to 5 %."""
    warmup = min(NUM_WARMUP_STEPS, num_steps // 4)
    if step < warmup:
        return LEARNING_RATE * (step + 1) / warmup
    done = (step - warmup) / max(1, num_steps - warmup)
    return LEARNING_RATE * (FINAL_RATE + (1 - FINAL_RATE) * (1 + cos(pi * done)) / 2)


class _Lessons:
    """Gives the batch of any step, without state: seed and step decide."""

    def __init__(self, world: World, tokenizer: PreTrainedTokenizerFast, run: Run) -> None:
        self._world = world
        self._run = run
        self._encoder = Encoder(tokenizer)
        self._pad_id = int(tokenizer.pad_token_id)
        codes = [len(SCRIPTS) if script is None else SCRIPTS.index(script) for script in token_scripts(tokenizer)]
        self._scripts_VS = one_hot(torch.tensor(codes), len(SCRIPTS) + 1)[:, : len(SCRIPTS)].float()

    def batch(self, step: int) -> Batch:
        rng = Random(f"lessons {self._run.seed} {step}")
        lessons = draw_lessons(self._world, rng, num_lessons=self._run.num_lessons, progress=step / self._run.num_steps)
        return pack([self._encoder.encode(lesson) for lesson in lessons], pad_id=self._pad_id)

    def scripts(self, ids_T: Tensor) -> Tensor:
        return self._scripts_VS[ids_T]

    @property
    def num_steps(self) -> int:
        return self._run.num_steps


def _step(model: Qwen3MoeForCausalLM, optimizer: AdamW, lessons: _Lessons, step: int) -> Loss:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, lessons.num_steps)
    batch = lessons.batch(step)
    loss = _loss(model, batch, lessons)
    optimizer.zero_grad()
    loss.total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
    optimizer.step()
    return loss


def _loss(model: Qwen3MoeForCausalLM, batch: Batch, lessons: _Lessons) -> Loss:
    with router_logits(model) as collected:
        hidden_BTH = model.model(
            input_ids=batch.ids_BT,
            attention_mask=batch.attention_BTT,
            position_ids=batch.positions_BT,
            use_cache=False,
        ).last_hidden_state
    is_real_T = ~batch.is_padding_BT.flatten()
    layers = [logits_TE[is_real_T] for logits_TE in collected]
    scripts_TS = lessons.scripts(batch.ids_BT.flatten()[is_real_T])
    return Loss(
        completion=completion_loss(model.lm_head(hidden_BTH[batch.has_loss_BT]), batch.targets_N),
        balance=torch.stack([balance_loss(logits_TE, top_k=TOP_K) for logits_TE in layers]).mean(),
        z=torch.stack([z_loss(logits_TE) for logits_TE in layers]).mean(),
        script_information=torch.stack(
            [script_information(layers[layer].softmax(dim=-1), scripts_TS) for layer in SCRIPT_LAYERS]
        ).sum(),
    )
