"""The expert set: named experts of one model, read out per request, turned by a dial, or guarded against bans.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from polyglyph.contract.base import Document, as_request_error, digest, read_json
from polyglyph.contract.edits import check_model
from polyglyph.contract.errors import ImpossibleEditError
from polyglyph.contract.model import ModelBinding, ModelDescription
from polyglyph.contract.plan import PLAN_NAME_PATTERN, Phase, Provenance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_THRESHOLD = 0.5
"""Of a set with a bias and none of its own: more likely than not."""
MAX_WEIGHT = 1e6

Weight = Annotated[float, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT)]


class LayerExperts(Document):
    """Experts of one MoE layer.

    Attributes:
        layer: Counted among the MoE layers, from 0.
        experts: Each once.
        weights: One for each of `experts`, in their order; all 1 when absent.
    """

    layer: int = Field(ge=0)
    experts: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=65536, strict=False)]
    weights: Annotated[tuple[Weight, ...], Field(min_length=1, max_length=65536, strict=False)] | None = None

    @model_validator(mode="after")
    def _check_fields(self) -> "LayerExperts":
        if len(set(self.experts)) != len(self.experts):
            raise ValueError("an expert is named twice")
        if self.weights is not None and len(self.weights) != len(self.experts):
            raise ValueError(f"'weights' has {len(self.weights)} numbers for {len(self.experts)} experts")
        return self

    @property
    def weighted(self) -> tuple[tuple[int, float], ...]:
        """Give each expert with its weight."""
        return tuple(zip(self.experts, self.weights or (1.0,) * len(self.experts), strict=True))


class ExpertSet(Document):
    """An expert set, `polyglyph.experts/1`.

    Attributes:
        experts: A layer at a time, each layer once.
        bias: With it a readout is the logistic of bias plus weights times selection frequencies; without it the share
            of selections that fall into the set.
        threshold: Readout from which on the set counts as `above`; with a bias 0.5 unless named.
        phase: Whose tokens a readout is taken from.
        guard: Whether bans and scales by 0 of these experts are refused.
    """

    schema_: Literal["polyglyph.experts/1"] = Field(default="polyglyph.experts/1", alias="schema")
    name: str = Field(pattern=PLAN_NAME_PATTERN)
    description: str = ""
    model: ModelBinding
    experts: Annotated[tuple[LayerExperts, ...], Field(min_length=1, max_length=4096, strict=False)]
    bias: float | None = Field(default=None, ge=-MAX_WEIGHT, le=MAX_WEIGHT)
    threshold: float | None = Field(default=None, ge=0.0, le=1.0)
    phase: Phase = "prompt"
    guard: bool = False
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _check_experts(self) -> "ExpertSet":
        layers = [entry.layer for entry in self.experts]
        if len(set(layers)) != len(layers):
            raise ValueError("a layer is named twice; name all of its experts in one entry")
        if max(layers) >= self.model.layers:
            raise ValueError(f"the model has MoE layers 0 to {self.model.layers - 1}, 'experts' names {max(layers)}")
        largest = max(expert for entry in self.experts for expert in entry.experts)
        if largest >= self.model.experts:
            raise ValueError(f"the model has experts 0 to {self.model.experts - 1}, 'experts' names {largest}")
        return self

    @property
    def num_experts(self) -> int:
        """Number of (layer, expert) pairs."""
        return sum(len(entry.experts) for entry in self.experts)

    @property
    def gives_probability(self) -> bool:
        """Whether a readout is a probability."""
        return self.bias is not None

    @property
    def threshold_in_force(self) -> float | None:
        """Give the threshold; None where the set has none."""
        return DEFAULT_THRESHOLD if self.threshold is None and self.gives_probability else self.threshold

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON (RFC 8785) without name, description and provenance."""
        content = self.to_json()
        for field in ("name", "description", "provenance"):
            content.pop(field, None)
        return digest(content)

    @cached_property
    def member_LE(self) -> "NDArray[np.bool_]":
        """Give which experts are in the set, bool [L, E]."""
        import numpy as np

        member_LE = np.zeros((self.model.layers, self.model.experts), np.bool_)
        for entry in self.experts:
            member_LE[entry.layer, list(entry.experts)] = True
        return member_LE

    @cached_property
    def weight_LE(self) -> "NDArray[np.float64]":
        """Give the weights, float64 [L, E]; 0 outside the set."""
        import numpy as np

        weight_LE = np.zeros((self.model.layers, self.model.experts), np.float64)
        for entry in self.experts:
            weight_LE[entry.layer, list(entry.experts)] = entry.weights or 1.0
        return weight_LE

    def to_json(self) -> dict[str, Any]:
        """Give the document as plain JSON values, what is absent left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def layer_experts(weights: Mapping[tuple[int, int], float] | Iterable[tuple[int, int]]) -> tuple[LayerExperts, ...]:
    """Give (layer, expert) pairs as a set's `experts`, in order.

    Args:
        weights: Weights by pair, or pairs alone, which get none.
    """
    weighted = dict(weights) if isinstance(weights, Mapping) else dict.fromkeys(weights)
    by_layer: dict[int, dict[int, float | None]] = {}
    for (layer, expert), weight in sorted(weighted.items(), key=lambda item: item[0]):
        by_layer.setdefault(int(layer), {})[int(expert)] = None if weight is None else float(weight)
    return tuple(
        LayerExperts(
            layer=layer,
            experts=tuple(members),
            weights=tuple(weight for weight in members.values() if weight is not None) or None,
        )
        for layer, members in by_layer.items()
    )


def check_expert_set(experts: ExpertSet, model: ModelDescription, *, root: str = "experts") -> None:
    """Refuse a set that was made for another model, or names an expert that a layer of the loaded one lacks.

    Raises:
        PlanMismatchError: Names both models.
        ImpossibleEditError: `param` names the entry.
    """
    what = f"expert set '{experts.name}'"
    advice = "use a set for the loaded model (GET /v1/routing/expert-sets lists them)"
    check_model(experts.model, model.binding, what=what, advice=advice, param=f"{root}.model")
    for index, entry in enumerate(experts.experts):
        router = model.routers[entry.layer]
        if max(entry.experts) >= router.experts:
            param = f"{root}.experts[{index}].experts"
            raise ImpossibleEditError(
                f"{param}: layer {entry.layer} has experts 0 to {router.experts - 1}, got {max(entry.experts)}",
                param=param,
            )


def parse_expert_set(document: Any, *, root: str = "experts") -> ExpertSet:
    """Read an expert set from JSON values.

    Raises:
        RequestError: A field is missing, unknown, of the wrong type or out of range; `param` names it.
    """
    try:
        return ExpertSet.model_validate(document)
    except ValidationError as error:
        raise as_request_error(error, root=root) from error


def load_expert_set(path: Path) -> ExpertSet:
    """Read a `*.experts.json` file.

    Raises:
        RequestError: The file is no JSON or no expert set; the text names the file.
    """
    return parse_expert_set(read_json(path, kind="expert set"), root=path.name)
