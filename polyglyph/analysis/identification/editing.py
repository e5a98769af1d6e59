"""From chosen experts to edits: one operation for those to promote, its opposite for those to demote.

Letters of shapes: L MoE layers, E experts.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.contract.plan import Edit

VALUE_DECIMALS = 6


class Operation(StrEnum):
    """What a plan does with the chosen experts."""

    ADD = "add"
    ADD_STD = "add_std"
    FORCE = "force"
    BAN = "ban"
    SCALE = "scale"


GRADED = frozenset({Operation.ADD, Operation.ADD_STD, Operation.SCALE})


@dataclass(frozen=True, kw_only=True)
class Editing:
    """What is done with chosen experts.

    Attributes:
        op: The operation of experts to promote. Those to demote get the opposite: the negative value of `add` and
            `add_std`, `ban` for `force`; with `ban` and `scale` nothing tells the two apart.
        value: Of a graded operation.
        renormalize: Whether weights keep their sum; of `scale`.

    Raises:
        IdentificationError: A graded operation without value, or a value or `renormalize` without effect.
    """

    op: Operation
    value: float | None = None
    renormalize: bool | None = None

    def __post_init__(self) -> None:
        if (self.value is None) is (self.op in GRADED):
            wanted = "needs --value" if self.value is None else "takes no --value; leave it out"
            raise IdentificationError(f"--op {self.op} {wanted}")
        if self.renormalize is not None and self.op is not Operation.SCALE:
            raise IdentificationError(f"--renormalize belongs to --op scale, not to {self.op}")

    def edits(self, sign_LE: NDArray[Any]) -> tuple[Edit, ...]:
        """Write edits.

        Args:
            sign_LE: Positive for experts to promote, negative for those to demote, 0 for those left alone.
        """
        promoted = ((layer, experts, 1) for layer, experts in _by_layer(sign_LE > 0))
        demoted = ((layer, experts, -1) for layer, experts in _by_layer(sign_LE < 0))
        return tuple(self._edit(*each) for each in sorted((*promoted, *demoted)))

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        fields = {"op": self.op.value, "value": self.value, "renormalize": self.renormalize}
        return {name: value for name, value in fields.items() if value is not None}

    def _edit(self, layer: int, experts: tuple[int, ...], sign: int) -> Edit:
        op, value = self.op, self.value
        if sign < 0 and op is Operation.FORCE:
            op = Operation.BAN
        if sign < 0 and value is not None and op in {Operation.ADD, Operation.ADD_STD}:
            value = -value
        fields = {"layer": layer, "experts": experts, "op": op.value}
        graded = {} if value is None else {"value": round(float(value), VALUE_DECIMALS)}
        scaled = {} if self.renormalize is None else {"renormalize": self.renormalize}
        return Edit.model_validate(fields | graded | scaled)


def _by_layer(chosen_LE: NDArray[np.bool_]) -> list[tuple[int, tuple[int, ...]]]:
    found = ((layer, np.flatnonzero(row_E).tolist()) for layer, row_E in enumerate(chosen_LE))
    return [(layer, tuple(experts)) for layer, experts in found if experts]
