"""The edit table: every slot's edits of every layer, on the device.

Letters: L MoE layers, S slots, E experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from polyglyph.contract.plan import Edit
from polyglyph.kernels.steer_route import LayerEdits
from polyglyph.kernels.steer_route.edits import BANNED, FORCED

UNSTEERED = 0
"""The slot without edits."""


@dataclass(frozen=True)
class SlotRow:
    """One slot's edits on the host: arrays [L, E], strength applied, and per-layer switches [L]."""

    add_LE: np.ndarray
    std_LE: np.ndarray
    flags_LE: np.ndarray
    scale_LE: np.ndarray
    edits_logits_L: np.ndarray
    scales_L: np.ndarray
    renormalize_L: np.ndarray


def compile_row(edits: Sequence[Edit], *, strength: float, num_layers: int, num_experts: int) -> SlotRow:
    """Sum up edits into one row; several additions on one expert add, several scales multiply.

    Args:
        edits: Checked edits (`contract.edits.check_edits`).
        strength: The request's dial, not 0.
        num_layers: L.
        num_experts: E, the largest of all layers.
    """
    shape = (num_layers, num_experts)
    row = SlotRow(
        add_LE=np.zeros(shape, np.float32),
        std_LE=np.zeros(shape, np.float32),
        flags_LE=np.zeros(shape, np.uint8),
        scale_LE=np.ones(shape, np.float32),
        edits_logits_L=np.zeros(num_layers, bool),
        scales_L=np.zeros(num_layers, bool),
        renormalize_L=np.zeros(num_layers, bool),
    )
    for edit in edits:
        _write_edit(row, edit, strength)
    return row


def _write_edit(row: SlotRow, edit: Edit, strength: float) -> None:
    where = (edit.layer, list(edit.experts))
    if edit.op == "scale":
        assert edit.value is not None
        row.scale_LE[where] *= np.float32(edit.value**strength)
        row.scales_L[edit.layer] = True
        row.renormalize_L[edit.layer] = bool(edit.renormalize)
        return
    row.edits_logits_L[edit.layer] = True
    if edit.op == "add":
        assert edit.value is not None
        row.add_LE[where] += np.float32(strength * edit.value)
    elif edit.op == "add_std":
        assert edit.value is not None
        row.std_LE[where] += np.float32(strength * edit.value)
    else:
        row.flags_LE[where] |= FORCED if edit.op == "force" else BANNED


class EditTable:
    """Persistent tensors [L, S, E] that the layers' hooks read; written between steps only.

    Args:
        num_layers: L.
        num_slots: S, slot 0 included.
        num_experts: E.
        device: Where the model runs.
    """

    def __init__(self, num_layers: int, num_slots: int, num_experts: int, device: torch.device) -> None:
        shape = (num_layers, num_slots, num_experts)
        self.num_slots = num_slots
        self._add = torch.zeros(shape, dtype=torch.float32, device=device)
        self._std = torch.zeros(shape, dtype=torch.float32, device=device)
        self._flags = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._scale = torch.ones(shape, dtype=torch.float32, device=device)
        self._edits_logits = torch.zeros(shape[:2], dtype=torch.bool, device=device)
        self._scales = torch.zeros(shape[:2], dtype=torch.bool, device=device)
        self._renormalize = torch.zeros(shape[:2], dtype=torch.bool, device=device)

    def layer(self, layer: int, num_experts: int) -> LayerEdits:
        """Give one layer's rows as views; they see every later write.

        Args:
            layer: Index among the MoE layers.
            num_experts: The layer's own number of experts, at most E.
        """
        return LayerEdits(
            add_SE=self._add[layer, :, :num_experts],
            std_SE=self._std[layer, :, :num_experts],
            flags_SE=self._flags[layer, :, :num_experts],
            scale_SE=self._scale[layer, :, :num_experts],
            edits_logits_S=self._edits_logits[layer],
            scales_S=self._scales[layer],
            renormalize_S=self._renormalize[layer],
        )

    def write(self, slot: int, row: SlotRow) -> None:
        """Replace a slot's edits; slot 0 cannot be written."""
        assert slot != UNSTEERED
        for tensor, array in zip(self._tensors(), _arrays(row), strict=True):
            tensor[:, slot].copy_(torch.from_numpy(array), non_blocking=True)

    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return (
            self._add,
            self._std,
            self._flags,
            self._scale,
            self._edits_logits,
            self._scales,
            self._renormalize,
        )


def _arrays(row: SlotRow) -> tuple[np.ndarray, ...]:
    return (
        row.add_LE,
        row.std_LE,
        row.flags_LE,
        row.scale_LE,
        row.edits_logits_L,
        row.scales_L,
        row.renormalize_L,
    )
