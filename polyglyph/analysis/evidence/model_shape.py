"""The model that evidence is of: its fingerprint and the shape of its routing."""

import dataclasses
from dataclasses import dataclass

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.trace import TraceHeader


@dataclass(frozen=True)
class ModelShape:
    """What must agree before counts may be added or compared.

    Attributes:
        architecture: The model's class; empty where the file does not say.
        fingerprint: `sha256:<hex>` over the MoE shape and the router weights.
        layers: MoE layers, L.
        experts: Experts per layer, E.
        top_k: Experts per token, k.
    """

    architecture: str
    fingerprint: str
    layers: int
    experts: int
    top_k: int

    @classmethod
    def of_header(cls, header: StatsHeader | TraceHeader) -> "ModelShape":
        """Give the model of a file; files do not name the architecture."""
        return cls("", header.model_fingerprint, header.layers, header.experts, header.top_k)

    @classmethod
    def of_binding(cls, binding: ModelBinding) -> "ModelShape":
        """Give the model that a plan is bound to or that a server has loaded."""
        return cls(binding.architecture, binding.fingerprint, binding.layers, binding.experts, binding.top_k)

    @property
    def selects_all(self) -> bool:
        """Whether every token selects every expert, so that routing can tell nothing (k = E)."""
        return self.top_k >= self.experts

    def is_same(self, other: "ModelShape") -> bool:
        """Tell whether counts of the two add up; the architecture is only a name."""
        return dataclasses.replace(self, architecture=other.architecture) == other

    def check_same(self, other: "ModelShape", *, what: str) -> None:
        """Refuse another model.

        Args:
            other: The model that came.
            what: What is of the other model, for the text, such as `labels.jsonl's traces`.

        Raises:
            EvidenceError: The two are not the same; the text has both.
        """
        if not self.is_same(other):
            raise EvidenceError(f"{what}: expected the model {self}, got {other}; read evidence of each model apart")

    def __str__(self) -> str:
        return f"{self.fingerprint[:19]} ({self.layers} layers of {self.experts} experts, top-{self.top_k})"
