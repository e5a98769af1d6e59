"""The `steering` field of requests and responses, and the payload that carries it to the workers (design section 4)."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, ValidationError

from polyglyph.contract.base import Document, Location, as_request_error, digest
from polyglyph.contract.edits import MAX_STRENGTH
from polyglyph.contract.errors import RequestError
from polyglyph.contract.guess import GuessKind
from polyglyph.contract.plan import PHASES, PLAN_NAME_PATTERN, EditList, Phase, PhaseSet

PAYLOAD_KEY = "polyglyph"
"""Key of the payload in `SamplingParams.extra_args`; callers may not set it over HTTP."""
ORIGIN_KEY = "polyglyph_origin"
"""Key of what tells one sequence of a request from another there: request id and number of the sequence."""

MAX_PLANS = 8
"""Plans that one request can name."""

Strength = Annotated[float, Field(ge=-MAX_STRENGTH, le=MAX_STRENGTH)]


def _refuse_twice(phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    if len(set(phases)) != len(phases):
        raise ValueError("a phase is named twice")
    return phases


DistinctPhases = Annotated[PhaseSet, AfterValidator(_refuse_twice)]


def _refuse_plan_twice(names: tuple[str, ...]) -> tuple[str, ...]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"the plan {name!r:.80} is named twice")
    return names


def _refuse_number(names: Any) -> Any:
    if isinstance(names, list | tuple) and not 2 <= len(names) <= MAX_PLANS:
        raise ValueError(f"expected 2 to {MAX_PLANS} plans, got {len(names)}; one plan is named without a list")
    return names


def _kind_of_plan(value: Any) -> str | None:
    if isinstance(value, str):
        return "name"
    return "names" if isinstance(value, list | tuple) else None


PlanNames = Annotated[
    tuple[str, ...],
    Field(min_length=2, max_length=MAX_PLANS, strict=False),
    AfterValidator(_refuse_plan_twice),
    BeforeValidator(_refuse_number),
]
PlanField = Annotated[
    Annotated[str, Tag("name")] | Annotated[PlanNames, Tag("names")],
    Discriminator(
        _kind_of_plan,
        custom_error_type="plan_names",
        custom_error_message=f"expected a plan's name, or a list of 2 to {MAX_PLANS} of them",
    ),
]
"""The plan or plans of a request, by name or fingerprint."""
Dials = Annotated[dict[Annotated[str, Field(pattern=PLAN_NAME_PATTERN)], Strength], Field(min_length=1, max_length=16)]
"""How far each expert set is pushed: standard deviations of the token's logits, times the weights of its experts."""


class SteeringRequest(Document):
    """The object form of a request's `steering` field.

    Args of note:
        plan: A plan, or several that are in force together.
        dials: By expert set.
        allow_super_experts: Lets `edits` ban experts that a guard protects; a plan says so itself.
    """

    plan: PlanField | None = None
    strength: Strength = 1.0
    phases: DistinctPhases | None = None
    edits: EditList = ()
    dials: Dials | None = None
    allow_super_experts: bool = False

    @property
    def plans(self) -> tuple[str, ...]:
        """Give every plan it names."""
        if self.plan is None:
            return ()
        return (self.plan,) if isinstance(self.plan, str) else self.plan


SteeringField = SteeringRequest | Literal["off", "auto"]
"""A parsed `steering` field; `False` reads as `off` and a plan's name as a request for that plan."""


def parse_steering(value: Any, *, root: str = "steering") -> SteeringField:
    """Read a request's `steering` field.

    Args:
        value: The JSON value: `false`, `"off"`, `"auto"`, a plan's name, or an object.

    Raises:
        RequestError: Anything else; `param` names the field path.
    """
    if value is False or value == "off":
        return "off"
    if value == "auto":
        return "auto"
    if isinstance(value, dict) or (isinstance(value, str) and value):
        try:
            request = SteeringRequest.model_validate(value if isinstance(value, dict) else {"plan": value})
        except ValidationError as error:
            raise as_request_error(error, root=root, locate=_without_tag) from error
        if request.allow_super_experts and not request.edits:
            raise RequestError(
                f"{root}.allow_super_experts: belongs to 'edits', and there are none; a plan that may ban super "
                "experts says so itself",
                param=f"{root}.allow_super_experts",
            )
        return request
    raise RequestError(
        f"{root}: expected false, 'off', 'auto', the name of a plan, or an object with plan, strength, phases, edits "
        f"and dials; got {value!r:.60}",
        param=root,
    )


def _without_tag(location: Location) -> Location:
    """Take out which kind of `plan` it is, which pydantic puts into the path though no field is called so."""
    is_tagged = location[:1] == ("plan",) and location[1:2] in (("name",), ("names",))
    return location[:1] + location[2:] if is_tagged else location


class TraceOptions(Document):
    """What the workers keep of every token of a traced request, beside its experts and their weights.

    Args of note:
        runner_up: The next k experts by the router's own scores.
        probabilities: The router's own scores of all experts, before any edit.
    """

    runner_up: bool = False
    probabilities: bool = False


class SteeringPayload(Document):
    """What travels with one request to the workers: the edits by content, never by name.

    Args of note:
        key: Identifies the request's receipt; one HTTP request (with all its choices) has one key.
        edits: All edits; empty when the request is not steered.
        fingerprint: Fingerprint of the effective plan, or empty.
        script: Request script (ISO 15924, `Zyyy` for none).
        wants_summary: Keep this request's own sums for its response.
        trace: Keep this request's routing token by token; None when it did not ask.
        recomputes_prefix: Compute the prompt anew even where the prefix cache holds it, so that no row is missing.
        request_id: The engine request's id as its caller knows it.
        sequence: Which of the HTTP request's sequences (prompts times choices) this is.
        content: Its `cache_salt`, worked out once on the way to the workers; None before.
    """

    version: Literal[1] = 1
    key: str = Field(pattern=r"^[0-9a-f]{32}$")
    edits: EditList = ()
    strength: Strength = 1.0
    phases: PhaseSet = PHASES
    fingerprint: str = ""
    script: str = Field(default="Zyyy", pattern=r"^[A-Z][a-z]{3}$")
    tag: str = Field(default="", max_length=64)
    wants_summary: bool = False
    trace: TraceOptions | None = None
    recomputes_prefix: bool = False
    request_id: str = ""
    sequence: int = 0
    content: str | None = None

    @property
    def wants_receipt(self) -> bool:
        """Whether the front end will ask what was done for this request."""
        return self.is_steered or self.wants_summary or self.trace is not None

    @property
    def is_steered(self) -> bool:
        """Whether any token's routing may differ; strength 0 and an empty plan are exactly no steering."""
        return bool(self.edits) and self.strength != 0.0

    @property
    def cache_salt(self) -> str | None:
        """Digest of edits, strength and phases for the prefix cache, or None when the request is not steered."""
        if not self.is_steered:
            return None
        content = self.model_dump(mode="json", include={"edits", "strength"}, exclude_none=True)
        return digest({**content, "phases": sorted(self.phases)})


UnsteeredReason = Literal["no_rule", "no_guess", "no_plan_for_source", "same_script", "no_plan_for_pattern"]
"""No rule for the request script; no source guessed and no plan for that; a source that the rule has no plan for; a
request in the guessed source's own script; a pattern that stands for no steering."""


def _is_absent(value: Any) -> bool:
    return value is None


class SteeringEcho(Document):
    """The `steering` field of a response; the last two fields are known at the request's end.

    Args of note:
        plan: The plan's name, or the names of all of them in the order of the request.
        dials: As asked, by expert set; absent where there are none.
        pattern: Pattern of the policy's library that the prompt's routing was nearest to; absent where there is none,
            or none was near enough.
        similarity: Cosine of the nearest pattern, near enough or not; absent where the policy has no patterns.
        request_script: Dominant script of the user's text.
        entity_script: Script of the words that are not in it, such as names; None where there are none.
        guessed_source: Source script that the policy guessed; None where it did not, or was not sure.
        guess: How it was guessed; None where no plan hung on it.
        reason: Why an `auto` request is not steered; None where it is.
    """

    applied: bool
    plan: str | Annotated[tuple[str, ...], Field(strict=False)] | None
    dials: dict[str, float] | None = Field(default=None, exclude_if=_is_absent)
    fingerprint: str | None
    strength: float
    phases: PhaseSet
    source: Literal["request", "policy", "default"]
    request_script: str
    entity_script: str | None = None
    guessed_source: str | None = None
    guess: GuessKind | None = None
    reason: UnsteeredReason | None = None
    pattern: str | None = Field(default=None, exclude_if=_is_absent)
    similarity: float | None = Field(default=None, exclude_if=_is_absent)
    tokens_steered: int | None = None
    dose: float | None = None
