"""Checkpoints of a training: one safetensors file, replaced atomically, nothing pickled."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, tensor
from torch.optim import AdamW

from polyglyph.analysis.organism.errors import CheckpointError
from polyglyph.analysis.organism.run import Run

FILE_NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        run: Which run.
        step: Steps done.
        seconds: Time spent on them, over all resumptions.
    """

    run: Run
    step: int
    seconds: float


def save_checkpoint(path: Path, model: nn.Module, optimizer: AdamW, progress: Progress) -> None:
    """Write model, optimizer and progress; a kill at any moment leaves the old file or the new one."""
    tensors = {f"model.{name}": parameter.detach() for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"progress": json.dumps(asdict(progress))})
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path, model: nn.Module, optimizer: AdamW, run: Run) -> Progress:
    """Put a checkpoint's tensors into model and optimizer.

    Raises:
        CheckpointError: The file is damaged, or belongs to a run with another seed, length or batch size.
    """
    progress, tensors = _read(path)
    if progress.run != run:
        raise CheckpointError(
            f"{path} belongs to {_describe(progress.run)}, not to {_describe(run)}: "
            "give the same numbers, or another --output"
        )
    for name, parameter in model.named_parameters():
        parameter.data.copy_(tensors[f"model.{name}"])
        optimizer.state[parameter] = _optimizer_state(tensors, name)
    return progress


def _optimizer_state(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    keys = ("step", "exp_avg", "exp_avg_sq")
    return {key: tensors.get(f"optimizer.{key}.{name}", tensor(0.0)) for key in keys}


def _read(path: Path) -> tuple[Progress, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            return _read_progress(file.metadata()["progress"]), tensors
    except (SafetensorError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): delete it and train anew") from error


def _read_progress(text: str) -> Progress:
    document = json.loads(text)
    return Progress(run=Run(**document["run"]), step=document["step"], seconds=document["seconds"])


def _describe(run: Run) -> str:
    return f"variant {run.variant}, seed {run.seed}, {run.num_steps} steps of {run.num_lessons} lessons"
