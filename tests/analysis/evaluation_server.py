"""A server on a loopback port that answers an evaluation: the same question and steering get the same answer."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyglyph.contract.errors import RequestError, UnknownPlanError
from polyglyph.contract.plan import PHASES, Plan, parse_plan
from polyglyph.contract.policy import Policy
from polyglyph.contract.routing import ArrayDocument
from polyglyph.contract.steering import SteeringRequest, parse_steering
from tests.clients.fake_engine import MODEL, NUM_EXPERTS, NUM_LAYERS
from tests.support import loopback
from tests.support.loopback import Answer, Asked

LOST = "lost"
"""A fault: the connection is cut without an answer."""


def plan_of(name: str, *, expert: int = 1, op: str = "add", **changes: Any) -> Plan:
    edit = {"layer": 0, "experts": [expert], "op": op} | ({"value": 1.5} if op == "add" else {})
    document = {"schema": "polyglyph.plan/1", "name": name, "model": MODEL.binding.model_dump(), "edits": [edit]}
    return parse_plan({**document, "phases": ["prompt"], **changes})


@dataclass
class EvaluationServer:
    """The state behind the routes; it outlives its listener.

    Attributes:
        plans: The registry.
        policy: What `auto` gets.
        fault: Asked before each answer with its number from 0: a status, `LOST`, or None.
        says: What every echo is changed by.
        has_echo: Answers say what steered them.
        gate: Requests wait here; open unless cleared.
        bodies: What was asked, in order.
        scored: Prompts whose log-probabilities were asked for.
    """

    plans: dict[str, Plan] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    fault: Callable[[int], Any] = lambda number: None
    says: dict[str, Any] = field(default_factory=dict)
    has_echo: bool = True
    inline_edits: bool = True
    reasoning: str | None = "because"
    finish_reason: str = "stop"
    gate: threading.Event = field(default_factory=threading.Event)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    scored: list[dict[str, Any]] = field(default_factory=list)
    num_requests: int = 0
    num_in_flight: int = 0
    max_in_flight: int = 0
    lock: threading.Condition = field(default_factory=threading.Condition)
    port: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self.gate.set()

    def wait_until(self, holds: Callable[["EvaluationServer"], bool]) -> None:
        with self.lock:
            assert self.lock.wait_for(lambda: holds(self), timeout=20)

    def answer(self, asked: Asked) -> Answer:
        path, body = asked.path, asked.body
        if path == "/v1/chat/completions":
            return self._chat(body)
        if path.startswith("/v1/steering/plans/"):
            return 200, self.plans[path.rpartition("/")[2]].to_json()
        routes: dict[str, Callable[[], Any]] = {
            "/tokenize": lambda: {"tokens": _tokens(body)},
            "/v1/completions": lambda: self._score(body),
            "/v1/models": lambda: {"object": "list", "data": [{"id": "fake", "object": "model"}]},
            "/v1/routing/model": self._model,
            "/v1/steering/policy": self.policy.to_json,
            "/v1/steering/plans": lambda: {"object": "list", "data": [_entry(plan) for plan in self.plans.values()]},
        }
        return (200, routes[path]()) if path in routes else (404, {"error": {"message": "Not Found"}})

    def _score(self, body: Any) -> Any:
        """Give prompts' log-probabilities: of a token that is followed by a likelier one in every place."""
        echo = self._echo(body)
        choices = []
        for index, prompt in reversed(list(enumerate(body["prompt"]))):
            sign = 1 if echo["applied"] else -1
            places = [{"0": {"logprob": -0.1}, str(token): {"logprob": sign * token / 1000 - 500}} for token in prompt]
            choices.append({"index": index, "prompt_logprobs": [None, *places[1:]], "text": "x"})
        self.scored.append(body)
        return {"choices": choices, "steering": echo}

    def _chat(self, body: Any) -> Answer:
        with self.lock:
            number = self.num_requests
            self.num_requests += 1
            self.num_in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.num_in_flight)
            self.lock.notify_all()
        self.gate.wait(30)
        with self.lock:
            self.num_in_flight -= 1
            fault = self.fault(number)
            if fault == LOST:
                return None
            if fault is not None:
                return fault, {"error": {"message": "boom", "code": fault}}
            self.bodies.append(body)
            try:
                return 200, self._completion(body)
            except RequestError as error:
                return error.status, error.to_openai()

    def _completion(self, body: Any) -> Any:
        echo = self._echo(body)
        asked = body["messages"][-1]["content"]
        answer = f"{asked}!" if not echo["applied"] else f"{asked}?"
        message = {"role": "assistant", "content": answer, "reasoning": self.reasoning}
        document = {
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}],
            "usage": {"prompt_tokens": len(asked), "completion_tokens": 2, "total_tokens": len(asked) + 2},
        }
        if self.has_echo:
            document["steering"] = echo | self.says
        if "routing" in body:
            document["routing"] = {"summary": _summary(len(asked))}
        return document

    def _echo(self, body: Any) -> dict[str, Any]:
        parsed = parse_steering(body["steering"])
        echo = {"applied": False, "plan": None, "fingerprint": None, "strength": 0.0, "source": "request"}
        if not isinstance(parsed, SteeringRequest):
            return echo | {"guessed_source": "Latn" if parsed == "auto" else None}
        if parsed.plan is not None and parsed.plan not in self.plans:
            raise UnknownPlanError(f"there is no plan {parsed.plan!r}", param="steering.plan")
        plan = self.plans[parsed.plan] if parsed.plan else None
        made = plan or plan_of(
            "inline",
            phases=parsed.phases or PHASES,
            edits=[edit.model_dump(exclude_none=True) for edit in parsed.edits],
        )
        applied = {"applied": parsed.strength != 0, "tokens_steered": 3, "dose": 0.25, "strength": parsed.strength}
        return echo | applied | {"fingerprint": made.fingerprint, "plan": plan.name if plan else None}

    def _model(self) -> Any:
        return {
            **MODEL.model_dump(mode="json"),
            "workers": [],
            "versions": {"polyglyph": "0.1.0", "vllm": "0.32.0"},
            "settings": {"inline_edits": self.inline_edits},
            "engine": {"model": "/nowhere/fake"},
        }


@contextmanager
def answering(server: EvaluationServer) -> Iterator[EvaluationServer]:
    """Answer on a loopback port: a free one, or the one from before."""
    with loopback.listening(server.answer, port=server.port) as server.port:
        server.url = f"http://127.0.0.1:{server.port}"
        yield server


def _tokens(body: dict[str, Any]) -> list[int]:
    """Give a token for each character; a chat ends in one that asks for the answer."""
    if "messages" in body:
        return [ord(character) for message in body["messages"] for character in message["content"]] + [1]
    return [ord(character) for character in body["prompt"]]


def _entry(plan: Plan) -> dict[str, Any]:
    return {"name": plan.name, "fingerprint": plan.fingerprint, "num_edits": len(plan.edits), "fits_model": True}


def _summary(num_tokens: int) -> dict[str, Any]:
    selected = np.zeros((3, NUM_LAYERS, NUM_EXPERTS), dtype=np.int32)
    selected[0] = np.arange(NUM_EXPERTS) * num_tokens
    return {
        "phases": list(PHASES),
        "layers": list(range(NUM_LAYERS)),
        "num_tokens": [num_tokens, 0, 0],
        "selected": ArrayDocument.from_numpy(selected).model_dump(mode="json"),
    }
