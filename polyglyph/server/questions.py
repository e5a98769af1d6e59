"""What a generating request asks of Polyglyph, read from its body before vLLM sees it."""

import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from polyglyph.contract.errors import RequestError
from polyglyph.contract.expert_set import ExpertSet
from polyglyph.contract.routing import RoutingRequest, parse_routing
from polyglyph.contract.steering import PAYLOAD_KEY, SteeringPayload, TraceOptions
from polyglyph.routing.scripts import dominant_script, entity_script
from polyglyph.server.dialects import Dialect
from polyglyph.server.resolution import Resolution, Resolver

FIELDS = ("steering", "routing")
JsonObject = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request's wishes.

    Attributes:
        resolution: What its steering comes to.
        routing: Its `routing` field, if it has one.
        script: The request script.
        entity_script: Script of the text's words that are not in it; found only for requests that are answered.
        named_fields: Which of our fields it carries.
        prompt_start: Prompt tokens that vLLM's encoding leaves out (`routed_experts_prompt_start`).
        readouts: Expert sets that are to be read out, as they were when the request came.
    """

    resolution: Resolution
    routing: RoutingRequest | None
    script: str
    named_fields: frozenset[str]
    entity_script: str | None = None
    prompt_start: int = 0
    readouts: tuple[ExpertSet, ...] = ()

    @property
    def is_answered(self) -> bool:
        """Whether the response says what was done: when it was asked, or when the server's default steered."""
        return bool(self.named_fields) or self.resolution.is_steered

    @property
    def wants_summary(self) -> bool:
        """Whether the request's own sums are needed for its response."""
        return self.routing is not None and self.routing.wants_sums

    def probe_payload(self) -> SteeringPayload:
        """Give what travels with the probe that guesses the source script: unsteered, every token of the prompt."""
        return SteeringPayload(
            key=uuid4().hex,
            script=self.script,
            tag=self.routing.tag if self.routing else "",
            wants_summary=True,
            recomputes_prefix=True,
        )

    def payload(self) -> SteeringPayload:
        """Give what travels to the workers; a request that is not steered carries no edits."""
        payload = SteeringPayload(
            key=uuid4().hex,
            script=self.script,
            tag=self.routing.tag if self.routing else "",
            wants_summary=self.wants_summary,
            trace=self._trace_options(),
            recomputes_prefix=self.routing is not None and self.routing.format == "vllm",
        )
        if not self.resolution.is_steered:
            return payload
        return payload.model_copy(
            update={
                "edits": self.resolution.edits,
                "strength": self.resolution.strength,
                "phases": self.resolution.phases,
                "fingerprint": self.resolution.fingerprint or "",
            }
        )

    def _trace_options(self) -> TraceOptions | None:
        if self.routing is None or not self.routing.wants_tokens:
            return None
        return TraceOptions(runner_up=self.routing.runner_up, probabilities=self.routing.probabilities)


def read_question(
    body: JsonObject, *, dialect: Dialect, resolver: Resolver, has_stats: bool, can_log_scores: bool
) -> Question:
    """Read and check a request's wishes.

    Args:
        body: The request's JSON, unchanged.
        dialect: The route's way of speaking.
        resolver: Resolves the `steering` field.
        has_stats: Whether the server keeps stats.
        can_log_scores: Whether the workers log router scores.

    Raises:
        RequestError: `param` names the field path.
    """
    refuse_payload(body)
    text = dialect.user_text(body)
    script = dominant_script(text)
    routing = None
    if "routing" in body:
        routing = read_routing(body["routing"], resolver=resolver, has_stats=has_stats, can_log_scores=can_log_scores)
    if "steering" in body:
        resolution = resolver.resolve(body["steering"], script=script, text=text)
    else:
        resolution = resolver.resolve_default(script=script, text=text)
    question = Question(
        resolution=resolution,
        routing=routing,
        script=script,
        named_fields=frozenset(field for field in FIELDS if field in body),
        prompt_start=_prompt_start(body),
        readouts=read_sets(routing, resolver=resolver) if routing is not None else (),
    )
    _refuse_modes(body, question, dialect)
    may_be_answered = question.is_answered or resolution.pending is not None
    return replace(question, entity_script=entity_script(text)) if may_be_answered else question


def refuse_fields(body: JsonObject, *, path: str) -> None:
    """Refuse our fields on a route that would ignore them.

    Raises:
        RequestError: `param` names the field.
    """
    refuse_payload(body)
    for field in FIELDS:
        if field in body:
            raise RequestError(
                f"{field}: {path} takes no '{field}' field; use /v1/chat/completions, /v1/completions, /v1/responses "
                "or /v1/messages",
                param=field,
            )


def refuse_payload(body: JsonObject) -> None:
    """Refuse a request that brings the workers' payload itself.

    Raises:
        RequestError: `param` names the field path.
    """
    sampling = body.get("sampling_params")
    places = {"vllm_xargs": body.get("vllm_xargs")}
    if isinstance(sampling, dict):
        places["sampling_params.extra_args"] = sampling.get("extra_args")
    for place, value in places.items():
        if isinstance(value, dict) and PAYLOAD_KEY in value:
            param = f"{place}.{PAYLOAD_KEY}"
            raise RequestError(f"{param}: this key is the server's own; use the 'steering' field", param=param)


def without_fields(body: JsonObject) -> bytes:
    """Write the body for vLLM, which knows neither field."""
    return json.dumps({name: value for name, value in body.items() if name not in FIELDS}).encode("ascii")


def read_routing(value: Any, *, resolver: Resolver, has_stats: bool, can_log_scores: bool) -> RoutingRequest:
    """Read and check a `routing` field; expert sets that it names are not looked up here.

    Raises:
        RequestError: `param` names the field path.
    """
    routing = parse_routing(value, num_layers=len(resolver.model.routers))
    if routing.tag and not has_stats:
        raise RequestError(
            "routing.tag: a tag groups tokens in the stats, and this server was started with --no-stats",
            param="routing.tag",
        )
    _refuse_scores(routing, resolver=resolver, can_log_scores=can_log_scores)
    return routing


def read_sets(routing: RoutingRequest, *, resolver: Resolver) -> tuple[ExpertSet, ...]:
    """Find the expert sets that a request reads out.

    Raises:
        RequestError: One is unknown or another model's, or there is none to read out.
    """
    if not routing.wants_readouts:
        return ()
    sets = resolver.expert_sets
    if routing.readouts is None:
        if not sets.readable():
            raise RequestError(
                "routing.return: this server has no expert sets of the loaded model to read out; put one with "
                "PUT /v1/routing/expert-sets/{name} (a guard is read out only where 'readouts' names it)",
                param="routing.return",
            )
        return sets.readable()
    return tuple(
        sets.find_fitting(name, param=f"routing.readouts[{index}]") for index, name in enumerate(routing.readouts)
    )


def _refuse_scores(routing: RoutingRequest, *, resolver: Resolver, can_log_scores: bool) -> None:
    wanted = [name for name in ("runner_up", "probabilities") if getattr(routing, name)]
    if wanted and not can_log_scores:
        raise RequestError(
            f"routing.{wanted[0]}: this server's graphs do not log router scores; start it with --trace-scores",
            param=f"routing.{wanted[0]}",
        )
    opaque = [str(router.layer) for router in resolver.model.routers if router.kind == "custom"]
    if routing.probabilities and opaque:
        raise RequestError(
            f"routing.probabilities: MoE layers {', '.join(opaque)} choose experts by a function of the model's own, "
            "whose scores cannot be read; ask for 'runner_up', or for the layers' ids and weights alone",
            param="routing.probabilities",
        )


def _prompt_start(body: JsonObject) -> int:
    """Read vLLM's own field, which vLLM checks."""
    start = body.get("routed_experts_prompt_start", 0)
    return start if isinstance(start, int) and start > 0 else 0


def _refuse_modes(body: JsonObject, question: Question, dialect: Dialect) -> None:
    if question.resolution.pending is None and not question.payload().wants_receipt:
        return
    if body.get("use_beam_search"):
        raise RequestError(
            "use_beam_search: beam search drops what a request asks of routing; leave it out, or send "
            '"steering": false and no "routing.return"',
            param="use_beam_search",
        )
    if body.get("background"):
        raise RequestError(
            f"background: {dialect.path} runs a background request after the response, which could not say what was "
            'steered; leave it out, or send "steering": false',
            param="background",
        )
