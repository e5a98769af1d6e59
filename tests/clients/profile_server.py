"""A server on a loopback port that counts what it is sent: a token is a word, and every token is counted by tag."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyglyph.contract.routing import ArrayDocument
from polyglyph.contract.stats import Stats, StatsGroup
from tests.clients.fake_engine import BLOCK, MODEL, NUM_EXPERTS, NUM_LAYERS, TOP_K
from tests.support import loopback
from tests.support.loopback import Answer, Asked

ADMIN_KEY = "an-admins-key"
SELECTIONS = NUM_LAYERS * TOP_K


@dataclass
class Lost:
    """What to do instead of answering: the connection is cut, with the tokens counted or not."""

    is_counted: bool


@dataclass
class CountingServer:
    """The state behind the routes; it outlives its listener.

    Attributes:
        max_model_len: Longest request, in words, with what it generates.
        max_body_bytes: Longest body.
        fault: Asked before each generating request, with its number from 0: a status to answer with, a `Lost`, or None.
        gate: Requests wait here; open unless cleared.
        says_cached: Usage tells cached tokens.
        loses: Tokens that each request's count falls short of the truth.
    """

    max_model_len: int = 1000
    max_body_bytes: int = 1 << 20
    said_max_body_bytes: int | None = None
    fault: Callable[[int], Any] = lambda number: None
    gate: threading.Event = field(default_factory=threading.Event)
    says_cached: bool = True
    keeps_stats: bool = True
    loses: int = 0
    num_requests: int = 0
    num_waiting: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)
    counted: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    lock: threading.Condition = field(default_factory=threading.Condition)
    port: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self.gate.set()

    def wait_until(self, holds: Callable[["CountingServer"], bool]) -> None:
        """Wait for a request that makes something true."""
        with self.lock:
            assert self.lock.wait_for(lambda: holds(self), timeout=20)

    def answer(self, asked: Asked) -> tuple[int, Any] | Lost:
        route = f"{asked.method} {asked.path.partition('?')[0]}"
        if route in {"POST /v1/completions", "POST /v1/chat/completions"}:
            return self._generate(asked.body, len(asked.data))
        if route == "GET /v1/models":
            return 200, {"object": "list", "data": [{"id": "fake", "object": "model"}]}
        if route == "GET /v1/routing/model":
            return 200, self._model()
        if route == "GET /v1/routing/stats":
            return self._stats(asked.headers)
        return 404, _error(404, "Not Found")

    def _generate(self, body: dict[str, Any], size: int) -> tuple[int, Any] | Lost:
        with self.lock:
            number = self.num_requests
            self.num_requests += 1
            self.num_waiting += 1
            self.lock.notify_all()
        self.gate.wait(30)
        with self.lock:
            self.num_waiting -= 1
            self.bodies.append(body)
            fault = self.fault(number)
            if isinstance(fault, int):
                return fault, _error(fault, "boom")
            if isinstance(fault, dict):
                return 400, {"error": fault}
            if size > self.max_body_bytes:
                return 413, _error("body_too_large", f"the body has {size} bytes")
            return self._compute(body, fault)

    def _compute(self, body: dict[str, Any], fault: Lost | None) -> tuple[int, Any] | Lost:
        text = body["prompt"] if "prompt" in body else " ".join(message["content"] for message in body["messages"])
        num_prompt = len(text.split())
        if num_prompt + body["max_tokens"] > self.max_model_len:
            message = f"This model's maximum context length is {self.max_model_len} tokens. However, ..."
            return 400, {"error": {"message": message, "type": "BadRequestError", "param": "input_tokens", "code": 400}}
        if num_prompt == 0:
            return 400, _error(400, "the prompt is empty")
        prefix = f"{body.get('cache_salt')} {text}"
        num_cached = (num_prompt - 1) // BLOCK * BLOCK if prefix in self.seen else 0
        self.seen.add(prefix)
        if fault is None or fault.is_counted:
            tag = (body.get("routing") or {}).get("tag", "")
            self.tokens[tag] += num_prompt + body["max_tokens"] - 1 - num_cached - self.loses
            self.cached[tag] += num_cached
            self.counted.append(text)
        return fault or (200, self._usage(num_prompt, body["max_tokens"], num_cached))

    def _usage(self, num_prompt: int, num_generated: int, num_cached: int) -> Any:
        usage = {
            "prompt_tokens": num_prompt,
            "completion_tokens": num_generated,
            "total_tokens": num_prompt + num_generated,
        }
        details = {"prompt_tokens_details": {"cached_tokens": num_cached}} if self.says_cached else {}
        return {
            "id": "1",
            "object": "text_completion",
            "created": 1,
            "model": "fake",
            "choices": [],
            "usage": usage | details,
        }

    def _model(self) -> Any:
        return {
            **MODEL.model_dump(mode="json"),
            "workers": [],
            "settings": {"stats": self.keeps_stats, "max_body_bytes": self.said_max_body_bytes},
            "engine": {"model": "/nowhere/fake", "max_model_len": self.max_model_len},
        }

    def _stats(self, headers: Any) -> tuple[int, Any]:
        if headers.get("x-polyglyph-admin-key") != ADMIN_KEY:
            return 403, _error("admin_key_required", "this route needs the server's admin key")
        with self.lock:
            return 200, _stats_of(self.tokens, self.cached)


def _stats_of(tokens: Counter[str], cached: Counter[str]) -> Any:
    groups = tuple(
        StatsGroup(
            request_script="Latn",
            script="Latn",
            phase="prompt",
            plan="",
            tag=tag,
            group_tokens=count,
            cached_tokens=cached[tag],
            selected=ArrayDocument.from_numpy(_selected(count)),
            weight_sum=ArrayDocument.from_numpy(_selected(count).astype(np.float64)),
        )
        for tag, count in sorted(tokens.items())
    )
    stats = Stats(
        model_fingerprint=MODEL.binding.fingerprint,
        layers=NUM_LAYERS,
        experts=NUM_EXPERTS,
        top_k=TOP_K,
        since="2026-01-01T00:00:00Z",
        until="2026-01-01T00:01:00Z",
        versions={"polyglyph": "0.1.0"},
        overflow_tokens=0,
        groups=groups,
    )
    return stats.model_dump(mode="json", by_alias=True)


def _selected(count: int) -> np.ndarray:
    selected = np.zeros((NUM_LAYERS, NUM_EXPERTS), dtype=np.int64)
    selected[:, :TOP_K] = count
    return selected


def _error(code: Any, message: str) -> Any:
    return {"error": {"message": message, "type": "error", "param": None, "code": code}}


@contextmanager
def listening(server: CountingServer) -> Iterator[CountingServer]:
    """Answer on a loopback port: a free one, or the one that the server had before."""

    def answer(asked: Asked) -> Answer:
        outcome = server.answer(asked)
        return None if isinstance(outcome, Lost) else outcome

    with loopback.listening(answer, port=server.port) as server.port:
        server.url = f"http://127.0.0.1:{server.port}"
        yield server
