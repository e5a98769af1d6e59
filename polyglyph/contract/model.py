"""What the loaded model routes like, layer by layer."""

from typing import Literal

from pydantic import Field

from polyglyph.contract.base import Document

Op = Literal["add", "add_std", "force", "ban", "scale"]
RouterKind = Literal["softmax", "sigmoid", "sqrtsoftplus", "custom", "hash", "simulated", "zero_expert"]
ALL_OPS: tuple[Op, ...] = ("add", "add_std", "force", "ban", "scale")


class RouterDescription(Document):
    """The router of one MoE layer.

    `layer` counts MoE layers from 0; `model_layer` is the model's own number. `ops` lists the operations
    that this router honours exactly; the others are refused with the layer's name.
    """

    layer: int = Field(ge=0)
    model_layer: int = Field(ge=0)
    name: str
    kind: RouterKind
    experts: int = Field(ge=1)
    top_k: int = Field(ge=1)
    groups: int = Field(default=1, ge=1)
    top_groups: int = Field(default=1, ge=1)
    biased: bool = False
    renormalize: bool = True
    ops: tuple[Op, ...] = ALL_OPS


class ModelBinding(Document):
    """What a plan says of the model it was made for (design section 3)."""

    architecture: str
    layers: int = Field(ge=1)
    experts: int = Field(ge=1)
    top_k: int = Field(ge=1)
    fingerprint: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")


class ModelDescription(Document):
    """The loaded model: its binding and its routers, one per MoE layer."""

    binding: ModelBinding
    routers: tuple[RouterDescription, ...]
