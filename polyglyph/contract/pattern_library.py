"""The pattern library: known prompts' routing in early layers, each with the plan that such prompts get.

After PreMoe (2505.17639), which retrieves experts by the nearest stored pattern of a task.

Letters of shapes: N patterns, L MoE layers of the library, E experts of a layer.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from polyglyph.contract.base import Document
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.plan import PLAN_NAME_PATTERN
from polyglyph.contract.probe_guess import MAX_WEIGHTS, selection_shares
from polyglyph.contract.steering import DistinctPhases, Strength

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARES_TOLERANCE = 1e-3
"""How far the shares of a layer may be from adding up to 1: they are written with a few decimals."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
LayerShares = Annotated[tuple[Share, ...], Field(min_length=1, max_length=4096, strict=False)]


class Pattern(Document):
    """What the routing of one kind of prompt looks like, and what such prompts get.

    Attributes:
        shares: By layer and expert, each layer's adding up to 1 (`selection_shares`).
        plan: None for no steering.
        strength: Of that plan.
        phases: Of that plan; its own unless named.
    """

    name: str = Field(pattern=PLAN_NAME_PATTERN)
    shares: Annotated[tuple[LayerShares, ...], Field(min_length=1, max_length=512, strict=False)]
    plan: str | None = Field(default=None, pattern=PLAN_NAME_PATTERN)
    strength: Strength = 1.0
    phases: DistinctPhases | None = None

    @model_validator(mode="after")
    def _check_fields(self) -> "Pattern":
        for index, layer in enumerate(self.shares):
            if abs(sum(layer) - 1.0) > SHARES_TOLERANCE:
                raise ValueError(f"'shares[{index}]' adds up to {sum(layer):.6g}; the shares of a layer add up to 1")
        if self.plan is None and (self.strength != 1.0 or self.phases is not None):
            raise ValueError("'strength' and 'phases' belong to a plan, and there is none")
        return self


@dataclass(frozen=True)
class Match:
    """The nearest pattern.

    Attributes:
        pattern: None where the nearest is not near enough.
        similarity: Its cosine all the same, 0 to 1.
    """

    pattern: Pattern | None
    similarity: float


class PatternLibrary(Document):
    """Patterns of one model.

    Attributes:
        model: The model they were taken from; its selections mean nothing in another.
        layers: MoE layers that are compared, early ones as a rule.
        min_similarity: Cosine from which on the nearest pattern counts.
        library: The first wins where two are equally near.
    """

    model: ModelBinding
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=512, strict=False)]
    min_similarity: float = Field(default=0.0, ge=0.0, le=1.0)
    library: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=1024, strict=False)]

    @model_validator(mode="after")
    def _check_sizes(self) -> "PatternLibrary":
        if len(set(self.layers)) != len(self.layers):
            raise ValueError("'layers' names one twice")
        if max(self.layers) >= self.model.layers:
            raise ValueError(
                f"the model has MoE layers 0 to {self.model.layers - 1}, 'layers' names {max(self.layers)}"
            )
        names = [pattern.name for pattern in self.library]
        if len(set(names)) != len(names):
            raise ValueError("two patterns have one name")
        for index, pattern in enumerate(self.library):
            shape = (len(pattern.shares), *sorted({len(layer) for layer in pattern.shares}))
            if shape != (len(self.layers), self.model.experts):
                raise ValueError(
                    f"'library[{index}].shares' has to be {len(self.layers)} layers of {self.model.experts} experts"
                )
        if len(names) * len(self.layers) * self.model.experts > MAX_WEIGHTS:
            raise ValueError(f"a library has at most {MAX_WEIGHTS:,} shares")
        return self

    @cached_property
    def _directions(self) -> "NDArray[np.float64]":
        """Give the patterns as float64 [N, L * E], each of length 1."""
        import numpy as np

        shares = np.array([pattern.shares for pattern in self.library], dtype=np.float64)
        flat = shares.reshape(len(self.library), -1)
        directions: NDArray[np.float64] = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return directions

    def find(self, name: str) -> Pattern | None:
        """Give the pattern of a name."""
        return next((pattern for pattern in self.library if pattern.name == name), None)

    def nearest(self, selected_LE: "NDArray[np.integer]") -> Match:
        """Give the pattern whose shares have the largest cosine with a prompt's.

        Args:
            selected_LE: How often each expert was selected in the prompt, in every MoE layer of the model.

        Raises:
            ValueError: The counts are of another model, or a layer has no selection.
        """
        import numpy as np

        if selected_LE.shape != (self.model.layers, self.model.experts):
            raise ValueError(f"counts of {self.model.layers} layers and {self.model.experts} experts were expected")
        shares = selection_shares(selected_LE[list(self.layers)]).reshape(-1)
        cosines = self._directions @ (shares / np.linalg.norm(shares))
        best = int(cosines.argmax())
        similarity = min(1.0, float(cosines[best]))
        return Match(self.library[best] if similarity >= self.min_similarity else None, similarity)
