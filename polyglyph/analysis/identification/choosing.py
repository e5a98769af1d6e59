"""Chooses experts by a score: those that pass a test, from given layers, the first of a global ranking.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.errors import IdentificationError


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """Which experts are chosen.

    Attributes:
        top: At most so many; None for all that pass.
        fdr: Largest q; 1 lets pass what was not tested, too.
        layers: MoE layers to choose from; None for all.
        per_layer: Experts with a positive score in one layer at most; further ones are passed over.
    """

    top: int | None = None
    fdr: float = 0.05
    layers: tuple[int, ...] | None = None
    per_layer: int | None = None

    def choose(
        self, score_LE: NDArray[np.float64], q_LE: NDArray[np.float64], *, passes_LE: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """Rank by the score's magnitude, over all layers.

        Args:
            score_LE: Of the method; an expert with a score of 0 is never chosen.
            q_LE: Of its test; NaN where nothing can differ.
            passes_LE: The method's own condition; None for none.

        Raises:
            IdentificationError: There is no such layer.
        """
        self._check_layers(len(score_LE))
        is_open_LE = np.isfinite(score_LE) & (score_LE != 0)
        is_open_LE &= (q_LE <= self.fdr) | (self.fdr >= 1)
        if passes_LE is not None:
            is_open_LE &= passes_LE
        if self.layers is not None:
            is_open_LE &= np.isin(np.arange(len(score_LE)), self.layers)[:, None]
        chosen_LE = np.zeros(score_LE.shape, dtype=bool)
        for flat in np.argsort(-np.abs(np.nan_to_num(score_LE)), axis=None, kind="stable"):
            layer, expert = divmod(int(flat), score_LE.shape[1])
            if self.top is not None and chosen_LE.sum() >= self.top:
                break
            if is_open_LE[layer, expert] and self._has_room(chosen_LE[layer], score_LE[layer], expert):
                chosen_LE[layer, expert] = True
        return chosen_LE

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        fields = {"top": self.top, "fdr": self.fdr, "layers": _listed(self.layers), "per_layer": self.per_layer}
        return {name: value for name, value in fields.items() if value is not None}

    def why_none(self, q_LE: NDArray[np.float64]) -> tuple[str, ...]:
        """Say why no expert was chosen."""
        found = q_LE[np.isfinite(q_LE)]
        if not len(found):
            return ("nothing could be tested: no expert is selected differently in any two sequences",)
        return (f"no expert passes: the smallest q is {found.min():.3g}, and --fdr asks for {self.fdr:g} at most",)

    def _has_room(self, chosen_E: NDArray[np.bool_], score_E: NDArray[np.float64], expert: int) -> bool:
        if self.per_layer is None or score_E[expert] <= 0:
            return True
        return int((chosen_E & (score_E > 0)).sum()) < self.per_layer

    def _check_layers(self, num_layers: int) -> None:
        wrong = [layer for layer in self.layers or () if layer >= num_layers]
        if wrong:
            raise IdentificationError(f"--layers: the model has MoE layers 0 to {num_layers - 1}, got {wrong[0]}")


def _listed(layers: Sequence[int] | None) -> list[int] | None:
    return None if layers is None else list(layers)
