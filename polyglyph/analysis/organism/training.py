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
from polyglyph.analysis.organism.curriculum import Curriculum
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
from polyglyph.analysis.organism.variant import Variant, variant_named

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
        tokenizer: Of what it was taught.
        progress: Steps and seconds it took.
    """

    model: Qwen3MoeForCausalLM
    tokenizer: PreTrainedTokenizerFast
    progress: Progress


def train(run: Run, curriculum: Curriculum, *, directory: Path, report: Report, stop_at: int | None = None) -> Trained:
    """Train, going on from the directory's checkpoint if there is one.

    Args:
        run: Seed (of weights and lessons), steps, lessons per step and variant.
        curriculum: What is taught.
        directory: Where the checkpoint lies.
        report: Called after every step.
        stop_at: Stop after this step, with a checkpoint; the schedule stays that of the whole run.

    Raises:
        CheckpointError: The checkpoint belongs to another run.
    """
    variant = variant_named(run.variant)
    model = build_model(
        curriculum, seed=run.seed, shared_variance=variant.shared_variance, num_experts=variant.num_experts
    ).train()
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY)
    checkpoint = directory / FILE_NAME
    progress = load_checkpoint(checkpoint, model, optimizer, run) if checkpoint.exists() else Progress(run, 0, 0.0)

    lessons = _Lessons(curriculum, run, variant)
    last = run.num_steps if stop_at is None else stop_at
    while progress.step < last:
        started = time.monotonic()
        loss = _step(model, optimizer, lessons, progress.step)
        progress = Progress(run, progress.step + 1, progress.seconds + time.monotonic() - started)
        report(progress, loss)
        if progress.step % CHECKPOINT_EVERY == 0 or progress.step == last:
            save_checkpoint(checkpoint, model, optimizer, progress)
    return Trained(model.eval(), curriculum.tokenizer, progress)


def learning_rate(step: int, num_steps: int) -> float:
    """Give the rate of a step: linear warm-up, then a cosine down to 5 %."""
    warmup = min(NUM_WARMUP_STEPS, num_steps // 4)
    if step < warmup:
        return LEARNING_RATE * (step + 1) / warmup
    done = (step - warmup) / max(1, num_steps - warmup)
    return LEARNING_RATE * (FINAL_RATE + (1 - FINAL_RATE) * (1 + cos(pi * done)) / 2)


class _Lessons:
    """Gives the batch of any step, without state: seed and step decide."""

    def __init__(self, curriculum: Curriculum, run: Run, variant: Variant) -> None:
        self.script_weight = variant.script_information
        self._curriculum = curriculum
        self._run = run
        self._encoder = Encoder(curriculum.tokenizer)
        self._pad_id = int(curriculum.tokenizer.pad_token_id)
        scripts = list(curriculum.scripts)
        codes = [len(scripts) if script is None else scripts.index(script) for script in curriculum.token_scripts]
        self._scripts_VS = one_hot(torch.tensor(codes), len(scripts) + 1)[:, : len(scripts)].float()

    def batch(self, step: int) -> Batch:
        rng = Random(f"lessons {self._run.seed} {step}")
        progress = step / self._run.num_steps
        lessons = self._curriculum.lessons(rng, num_lessons=self._run.num_lessons, progress=progress)
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
        script_weight=lessons.script_weight,
    )
