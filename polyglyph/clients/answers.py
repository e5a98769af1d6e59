"""What the server answers on its own routes, where the contract has no document for it.

An answer may carry more than this client knows: fields that a newer server adds are kept and ignored.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from polyglyph.contract.model import ModelBinding, RouterDescription
from polyglyph.contract.plan import EditList, PhaseSet


class Answer(BaseModel):
    """A server's answer; fields beyond those named are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class PlanEntry(Answer):
    """One line of the registry."""

    name: str
    fingerprint: str
    description: str = ""
    phases: PhaseSet = ("prompt", "reasoning", "answer")
    num_edits: int | None = None
    fits_model: bool = True
    builtin: bool = False


class PlanList(Answer):
    """The registry."""

    data: tuple[PlanEntry, ...]


class ExpertSetEntry(Answer):
    """One line of the registry of expert sets."""

    name: str
    fingerprint: str
    description: str = ""
    num_experts: int | None = None
    layers: tuple[int, ...] = ()
    phase: str = "prompt"
    gives_probability: bool = False
    threshold: float | None = None
    guard: bool = False
    fits_model: bool = True


class ExpertSetList(Answer):
    """The registry of expert sets."""

    data: tuple[ExpertSetEntry, ...]


class Validation(Answer):
    """What a dry run says: the resolved steering with its edits, or the errors."""

    valid: bool
    applied: bool | None = None
    plan: str | tuple[str, ...] | None = None
    dials: dict[str, float] | None = None
    fingerprint: str | None = None
    strength: float | None = None
    edits: EditList = ()
    errors: tuple["ValidationFault", ...] = ()


class ValidationFault(Answer):
    """One reason why a plan or a steering field is refused."""

    message: str
    param: str | None = None
    code: str | None = None


class HookState(Answer):
    """One MoE layer's hook on one worker."""

    layer: int
    name: str = ""
    in_place: bool
    has_run: bool


class WorkerState(Answer):
    """What one worker says of itself."""

    rank: int
    hooks: tuple[HookState, ...]
    expected_layers: int


class EngineSettings(Answer):
    """The engine's settings that decide what it computes; those beyond these are kept."""

    model: str = ""
    block_size: int | None = None
    async_scheduling: bool | None = None
    num_speculative_tokens: int | None = None


class ServerSettings(Answer):
    """What the administrator chose."""

    stats: bool = True
    steering_default: str = "off"
    inline_edits: bool = True
    max_body_bytes: int | None = None


class LoadedModel(Answer):
    """The model as loaded, and each worker's hooks."""

    binding: ModelBinding
    routers: tuple[RouterDescription, ...]
    workers: tuple[WorkerState, ...]
    engine: EngineSettings = EngineSettings()
    settings: ServerSettings = ServerSettings()
    versions: Annotated[dict[str, Any], Field(default_factory=dict)]


class ImportedStats(Answer):
    """What an import added; `digest` identifies the sums, in whatever format they came."""

    groups: int
    tokens: int
    cached_tokens: int
    digest: str
