"""The plan: a named, immutable, model-bound list of edits (design section 3)."""

import operator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from polyglyph.contract.base import Document, as_request_error, digest, read_json
from polyglyph.contract.model import ModelBinding, Op

Phase = Literal["prompt", "reasoning", "answer"]
PHASES: tuple[Phase, ...] = ("prompt", "reasoning", "answer")
PLAN_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
RESERVED_NAMES = frozenset({"off", "auto"})
MAX_VALUE = 1e4
"""Largest magnitude of an edit's value: float32 routing stays finite with strength 16."""

GRADED: frozenset[Op] = frozenset({"add", "add_std", "scale"})


class Edit(Document):
    """One operation on experts of one MoE layer (methods section 4).

    `value` belongs to `add` (logits), `add_std` (standard deviations of the token's logits) and `scale`
    (a factor); `renormalize` belongs to `scale`.
    """

    layer: int = Field(ge=0)
    experts: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False)]
    op: Op
    value: float | None = Field(default=None, ge=-MAX_VALUE, le=MAX_VALUE)
    renormalize: bool | None = None

    @model_validator(mode="after")
    def _check_fields(self) -> "Edit":
        if self.op in GRADED and self.value is None:
            raise ValueError(f"op '{self.op}' needs a value")
        if self.op not in GRADED and self.value is not None:
            raise ValueError(f"op '{self.op}' takes no value; leave it out")
        if self.op == "scale" and self.value is not None and self.value < 0:
            raise ValueError("op 'scale' needs a value of 0 or more: a routing weight cannot become negative")
        if self.op != "scale" and self.renormalize is not None:
            raise ValueError(f"'renormalize' belongs to op 'scale', not to '{self.op}'")
        if len(set(self.experts)) != len(self.experts):
            raise ValueError("an expert is named twice in one edit")
        return self


class Provenance(Document):
    """Where a plan comes from; free-form beyond these fields, and outside the fingerprint."""

    model_config = ConfigDict(extra="allow")

    method: str | None = None
    created: str | None = None
    stats_sha256: str | None = None
    tool: str | None = None
    evaluation: dict[str, Any] | None = None


PhaseSet = Annotated[tuple[Phase, ...], Field(min_length=1, strict=False)]
EditList = Annotated[tuple[Edit, ...], Field(strict=False)]


class Plan(Document):
    """A plan document, `polyglyph.plan/1`.

    Attributes of note:
        allow_super_experts: Lets the plan ban experts that a guard protects; absent from the JSON unless set, so that
            fingerprints of plans without it are what they were before there was one.
    """

    schema_: Literal["polyglyph.plan/1"] = Field(alias="schema")
    name: str = Field(pattern=PLAN_NAME_PATTERN)
    description: str = ""
    model: ModelBinding
    phases: PhaseSet = PHASES
    edits: EditList = ()
    allow_super_experts: bool = Field(default=False, exclude_if=operator.not_)
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _check_name(self) -> "Plan":
        if self.name in RESERVED_NAMES:
            raise ValueError(f"'{self.name}' is a word of the steering field and cannot name a plan")
        if len(set(self.phases)) != len(self.phases):
            raise ValueError("a phase is named twice")
        return self

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON (RFC 8785) without name, description and provenance."""
        content = self.to_json()
        for field in ("name", "description", "provenance"):
            content.pop(field, None)
        return digest(content)

    def to_json(self) -> dict[str, Any]:
        """Give the document as plain JSON values, defaults left out where the format allows it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def parse_plan(document: Any, *, root: str = "plan") -> Plan:
    """Read a plan from JSON values.

    Raises:
        RequestError: A field is missing, unknown, of the wrong type or out of range; `param` names it.
    """
    try:
        return Plan.model_validate(document)
    except ValidationError as error:
        raise as_request_error(error, root=root) from error


def load_plan(path: Path) -> Plan:
    """Read a `*.plan.json` file.

    Raises:
        RequestError: The file is no JSON or no plan; the text names the file.
    """
    return parse_plan(read_json(path, kind="plan"), root=path.name)
