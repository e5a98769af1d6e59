"""Tuning only the routers on a task (Router Lens, 2508.19594), by the next-token loss of the completions.

Letters of shapes: N targets, V vocabulary.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW

from polyglyph.analysis.offline.batch import Batch, batch_of, batches_of, targets_of
from polyglyph.analysis.offline.errors import OfflineError
from polyglyph.analysis.offline.examples import Example, digest_of
from polyglyph.analysis.offline.offline_model import OfflineModel
from polyglyph.analysis.offline.passing import BATCH_TOKENS
from polyglyph.analysis.offline.tuning_checkpoint import Saved, load_checkpoint, save_checkpoint

BETAS = (0.9, 0.999)
MAX_GRADIENT_NORM = 1.0
CHECKPOINT_EVERY = 50


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The numbers that make two tunings the same.

    Attributes:
        num_steps: Optimiser steps.
        num_examples: Examples per step.
        learning_rate: Of AdamW, constant.
        weight_decay: Of AdamW; 0 leaves routers that the task says nothing of where they are.
        seed: Of the order of the examples.
    """

    num_steps: int = 200
    num_examples: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    seed: int = 0

    def identity(self, model: OfflineModel, examples: Sequence[Example]) -> str:
        """Give the digest of this tuning of a model on examples: what a checkpoint belongs to."""
        content = asdict(self) | {"model": model.binding.fingerprint, "examples": digest_of(examples)}
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class TuningStep:
    """What is reported after a step.

    Attributes:
        step: Steps done.
        loss: Of the step's examples before it, nats per token.
        seconds: Spent on steps, over all resumptions.
    """

    step: int
    loss: float
    seconds: float


def tune(
    model: OfflineModel,
    examples: Sequence[Example],
    tuning: Tuning,
    *,
    checkpoint: Path | None = None,
    report: Callable[[TuningStep], None] | None = None,
    stop_at: int | None = None,
) -> dict[str, Tensor]:
    """Tune the routers on completions, going on from the checkpoint if there is one; the model is left as it was.

    Args:
        model: The model; its routers are put back at the end.
        examples: Each with a completion.
        tuning: How long, how fast and in which order.
        checkpoint: Where progress is kept, every 50 steps; None to keep none.
        report: Called after every step.
        stop_at: Stop after this step, with a checkpoint.

    Returns:
        The tuned routers' parameters by their names in the model, float32 on the CPU.

    Raises:
        OfflineError: An example has no completion, or the loss is not finite.
        TuningCheckpointError: The checkpoint belongs to another tuning.
    """
    if not examples or any(not example.num_completion for example in examples):
        raise OfflineError("router tuning needs examples with completions; got none, or one without")
    with routers_alone(model) as parameters:
        run = _Run(model, examples, tuning, parameters)
        if checkpoint is not None and checkpoint.exists():
            run.load(checkpoint)
        last = tuning.num_steps if stop_at is None else min(stop_at, tuning.num_steps)
        while run.step < last:
            step = run.advance()
            if report is not None:
                report(step)
            if checkpoint is not None and (run.step % CHECKPOINT_EVERY == 0 or run.step == last):
                run.save(checkpoint)
        return {name: master.detach().cpu().clone() for name, master in run.masters.items()}


@contextmanager
def routers_alone(model: OfflineModel) -> Iterator[dict[str, nn.Parameter]]:
    """Give the routers' parameters by name, the only ones with gradients; all is put back at the end."""
    parameters = dict(parameter for layer in model.layers for parameter in layer.router_parameters())
    wanted = [(parameter, parameter.requires_grad) for parameter in model.model.parameters()]
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        model.model.requires_grad_(False)
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        yield parameters
    finally:
        for name, parameter in parameters.items():
            parameter.data.copy_(before[name])
            parameter.grad = None
        for parameter, wants in wanted:
            parameter.requires_grad_(wants)


@contextmanager
def with_routers(model: OfflineModel, routers: dict[str, Tensor]) -> Iterator[None]:
    """Run the block with other routers, such as tuned ones; the model's own are put back at the end.

    Args:
        model: The model.
        routers: Parameters by name, as `tune` gives them.
    """
    with routers_alone(model) as parameters:
        for name, parameter in parameters.items():
            parameter.data.copy_(routers[name])
        yield


@torch.no_grad()
def completion_losses(
    model: OfflineModel, examples: Sequence[Example], *, batch_tokens: int = BATCH_TOKENS
) -> list[float]:
    """Give the summed loss of each example's completion, in nats."""
    losses = [0.0] * len(examples)
    for batch in batches_of(examples, batch_tokens=batch_tokens, device=model.device):
        place_N, target_N, row_N = targets_of(batch, examples)
        loss_N = _losses(model, batch, place_N, target_N)
        sums = torch.zeros(len(batch.indices), device=loss_N.device).index_add_(0, row_N, loss_N)
        for index, loss in zip(batch.indices, sums.tolist(), strict=True):
            losses[index] = loss
    return losses


class _Run:
    """One tuning as it goes: float32 masters of the routers, whatever the dtype of the model, and the optimiser."""

    def __init__(
        self, model: OfflineModel, examples: Sequence[Example], tuning: Tuning, parameters: dict[str, nn.Parameter]
    ) -> None:
        self._model, self._examples, self._tuning, self._parameters = model, examples, tuning, parameters
        # A bfloat16 weight would swallow most steps.
        self.masters = {name: parameter.detach().float().clone() for name, parameter in parameters.items()}
        self._optimizer = AdamW(
            self.masters.values(), lr=tuning.learning_rate, betas=BETAS, weight_decay=tuning.weight_decay
        )
        self.step, self._seconds = 0, 0.0

    def advance(self) -> TuningStep:
        started = time.monotonic()
        batch = batch_of(self._examples, self._drawn(self.step), self._model.device)
        place_N, target_N, _ = targets_of(batch, self._examples)
        with torch.enable_grad():
            loss = _losses(self._model, batch, place_N, target_N).mean()
        if not torch.isfinite(loss):
            raise OfflineError(f"the loss is {float(loss)} at step {self.step + 1}: give a lower --learning-rate")
        loss.backward()
        self._update()
        self.step += 1
        self._seconds += time.monotonic() - started
        return TuningStep(step=self.step, loss=float(loss.detach()), seconds=self._seconds)

    def save(self, path: Path) -> None:
        tensors = {f"master.{name}": master for name, master in self.masters.items()}
        for name, master in self.masters.items():
            tensors |= {f"{key}.{name}": value for key, value in self._optimizer.state[master].items()}
        saved = Saved(self._tuning.identity(self._model, self._examples), self.step, self._seconds)
        save_checkpoint(path, saved, tensors)

    def load(self, path: Path) -> None:
        identity = self._tuning.identity(self._model, self._examples)
        saved, tensors = load_checkpoint(path, identity)
        for name, master in self.masters.items():
            master.data.copy_(tensors[f"master.{name}"])
            self._parameters[name].data.copy_(master)
            self._optimizer.state[master] = {
                "step": tensors[f"step.{name}"],
                "exp_avg": tensors[f"exp_avg.{name}"].to(master.device),
                "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(master.device),
            }
        self.step, self._seconds = saved.step, saved.seconds

    def _update(self) -> None:
        for name, master in self.masters.items():
            gradient = self._parameters[name].grad
            master.grad = torch.zeros_like(master) if gradient is None else gradient.float()
            self._parameters[name].grad = None
        torch.nn.utils.clip_grad_norm_(self.masters.values(), MAX_GRADIENT_NORM)
        self._optimizer.step()
        for name, master in self.masters.items():
            self._parameters[name].data.copy_(master)

    def _drawn(self, step: int) -> list[int]:
        """Give the examples of a step: seed and step alone decide, so that nothing but the step is resumed."""
        total = len(self._examples)
        size = min(self._tuning.num_examples, total)
        places = range(step * size, (step + 1) * size)
        return [_order(self._tuning.seed, place // total, total)[place % total] for place in places]


def _order(seed: int, epoch: int, total: int) -> list[int]:
    order = list(range(total))
    Random(f"examples {seed} {epoch}").shuffle(order)
    return order


def _losses(model: OfflineModel, batch: Batch, place_N: Tensor, target_N: Tensor) -> Tensor:
    """Give the loss of each target, nats, float32 [N]."""
    logits_BSV = model.model(input_ids=batch.ids_BS, attention_mask=batch.attention_BS, use_cache=False).logits
    return cross_entropy(logits_BSV.flatten(0, 1)[place_N].float(), target_N, reduction="none")
