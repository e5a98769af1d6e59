"""Checkpoints of router tunings: one safetensors file, replaced as a whole, nothing pickled."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.analysis.offline.errors import OfflineError, TuningCheckpointError


@dataclass(frozen=True)
class Saved:
    """How far a tuning has come.

    Attributes:
        identity: Which tuning (`Tuning.identity`).
        step: Steps done.
        seconds: Spent on them.
    """

    identity: str
    step: int
    seconds: float


def save_checkpoint(path: Path, saved: Saved, tensors: dict[str, Tensor]) -> None:
    """Write a checkpoint; a kill at any moment leaves the old file or the new one.

    Raises:
        OfflineError: It cannot be written.
    """
    write_tensors(path, tensors, {"saved": json.dumps(asdict(saved))})


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all.

    Raises:
        OfflineError: They cannot be written.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        write_whole(path, save(on_cpu, metadata))
    except OSError as error:
        raise OfflineError(f"{path} cannot be written: {error.strerror or error}") from error


def load_checkpoint(path: Path, identity: str) -> tuple[Saved, dict[str, Tensor]]:
    """Read a checkpoint.

    Args:
        path: The file.
        identity: Of the tuning that goes on.

    Raises:
        TuningCheckpointError: The file is damaged, or of another model, task or setting.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            saved = Saved(**json.loads(file.metadata()["saved"]))
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise TuningCheckpointError(f"{path} is damaged ({error}): delete it and begin anew") from error
    if saved.identity != identity:
        raise TuningCheckpointError(
            f"{path} belongs to a tuning of another model, task or setting: expected {identity[:16]}, got "
            f"{saved.identity[:16]}; give the same options, or another --checkpoint"
        )
    return saved, tensors
