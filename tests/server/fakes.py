"""A server without an engine: a model, workers that keep receipts, and an app that speaks as vLLM's routes do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription
from polyglyph.contract.plan import Plan
from polyglyph.contract.steering import SteeringPayload
from polyglyph.contract.sums import GroupKey, GroupSums
from polyglyph.routing.reports import EngineReport, LayerHook, WorkerReport
from polyglyph.routing.scripts.characters import characters
from polyglyph.routing.scripts.labeller import ScriptLabeller
from polyglyph.routing.scripts.vocabulary import Vocabulary
from polyglyph.routing.ticket import CURRENT_TICKET
from polyglyph.routing.wire import Receipt, WorkerTrace
from polyglyph.server.plugin import PolyglyphEndpoints
from polyglyph.server.service import start_service

LAYERS, EXPERTS, TOP_K = 4, 8, 2
ADMIN_KEY = "admin-secret"
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
BINDING = ModelBinding(
    architecture="FakeMoeForCausalLM", layers=LAYERS, experts=EXPERTS, top_k=TOP_K, fingerprint="sha256:" + "a" * 64
)
OTHER_BINDING = BINDING.model_copy(update={"fingerprint": "sha256:" + "b" * 64})
MODEL = ModelDescription(
    binding=BINDING,
    routers=tuple(
        RouterDescription(
            layer=layer, model_layer=layer + 1, name=f"layers.{layer}", kind="softmax", experts=EXPERTS, top_k=TOP_K
        )
        for layer in range(LAYERS)
    ),
)
BAN = {"layer": 0, "experts": [3], "op": "ban"}
FORCE = {"layer": 1, "experts": [0], "op": "force"}
ADD = {"layer": 2, "experts": [1, 2], "op": "add", "value": 1.5}
GROUPS = (
    GroupKey("Cyrl", "Cyrl", "prompt", "", ""),
    GroupKey("Cyrl", "Latn", "answer", "sha256:" + "c" * 64, "a"),
    GroupKey("Latn", "Latn", "prompt", "", "b"),
)
HOOKS = tuple(
    LayerHook(layer=layer, name=f"layers.{layer}", in_place=True, has_run=True, kernel="cpu") for layer in range(LAYERS)
)
REPORT = EngineReport(
    model=MODEL,
    workers=(
        WorkerReport(
            rank=0,
            tp_rank=0,
            pp_rank=0,
            runner="fake",
            hooks=HOOKS,
            expected_layers=LAYERS,
            kernels={"steer_route": "cpu"},
        ),
        WorkerReport(
            rank=1,
            tp_rank=1,
            pp_rank=0,
            runner="fake",
            hooks=HOOKS,
            expected_layers=LAYERS,
            kernels={"steer_route": "cpu"},
        ),
    ),
    versions={"polyglyph": "0.1.0", "vllm": "0.32.0"},
    num_hidden_layers=LAYERS + 1,
    can_log_scores=True,
)
TOKENS = ("при", "вет", "!", " a")
"""A vocabulary: the token id is the index."""


def make_labeller() -> ScriptLabeller:
    texts = {index: text.encode() for index, text in enumerate(TOKENS)}
    return ScriptLabeller(Vocabulary.of(texts), characters())


def plan_document(name: str = "to-latin", *, edits: Sequence[dict[str, Any]] = (BAN, ADD), **fields: Any) -> dict:
    document = {"schema": "polyglyph.plan/1", "name": name, "model": BINDING.model_dump(), "edits": list(edits)}
    return document | fields


def make_plan(name: str = "to-latin", **fields: Any) -> Plan:
    return Plan.model_validate(plan_document(name, **fields))


def write_json(path: Path, document: Any) -> None:
    """Write a file, and its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


class FakeWorkers:
    """Keeps receipts like the real ones do; `loses_receipts` makes it forget them, `loses_hooks` unhooks a layer.

    `selected` are the sums that requests with a summary get, instead of the usual ones.
    """

    def __init__(self) -> None:
        self.loses_hooks = False
        self.receipts: dict[str, Receipt] = {}
        self.loses_receipts = False
        self.drops_traces = False
        self.undrained = GROUPS
        self.selected: np.ndarray[Any, Any] | None = None

    async def report(self) -> EngineReport:
        return REPORT

    async def look(self) -> EngineReport:
        if not self.loses_hooks:
            return REPORT
        hooks = (replace(HOOKS[0], in_place=False), *HOOKS[1:])
        return replace(REPORT, workers=(replace(REPORT.workers[0], hooks=hooks), *REPORT.workers[1:]))

    def finish(self, payload: SteeringPayload) -> None:
        if self.loses_receipts or not payload.wants_receipt:
            return
        counts = {"num_tokens": None, "selected": None, "weight_sum": None}
        if payload.wants_summary:
            selected = np.arange(3 * LAYERS * EXPERTS, dtype=np.int32).reshape(3, LAYERS, EXPERTS)
            selected = selected if self.selected is None else self.selected
            counts = {
                "num_tokens": np.array([5, 0, 3], np.int64),
                "selected": selected,
                "weight_sum": selected.astype(np.float32) / 2,
            }
        steered = 8 if payload.is_steered else 0
        self.receipts[payload.key] = Receipt(
            tokens_steered=steered, selections_changed=steered, num_layers=LAYERS, traces=self.traces(payload), **counts
        )

    def traces(self, payload: SteeringPayload) -> tuple[WorkerTrace | None, ...]:
        """Give a trace of four tokens, the first of them from the prefix cache."""
        if payload.trace is None:
            return ()
        if self.drops_traces:
            return (None,)
        ids = np.tile(np.array([[0, 3]] * LAYERS, np.uint8), (len(TOKENS), 1, 1))
        ids[0] = 255
        trace = WorkerTrace(
            token_ids=np.arange(len(TOKENS), dtype=np.int32),
            phases=np.array([0, 0, 1, 2], np.uint8),
            steered=np.array([False, True, True, True]),
            computed=np.array([False, True, True, True]),
            ids=ids,
            weights=np.full(ids.shape, 0.5, np.float16),
            runner_up=ids + 1 if payload.trace.runner_up else None,
            probabilities=np.full((len(TOKENS), LAYERS, EXPERTS), 1 / EXPERTS, np.float16)
            if payload.trace.probabilities
            else None,
        )
        return (trace,)

    async def take_receipt(self, key: str) -> Receipt | None:
        await asyncio.sleep(0)
        return self.receipts.pop(key, None)

    async def drain_stats(self) -> tuple[GroupSums, ...]:
        """Give one token of each of three groups, once."""
        keys, self.undrained = self.undrained, ()
        return tuple(one_token(key) for key in keys)

    async def drain_traces(self) -> tuple[()]:
        return ()


def one_token(key: GroupKey) -> GroupSums:
    selected_LE = np.zeros((LAYERS, EXPERTS), np.int64)
    selected_LE[:, :TOP_K] = 1
    return GroupSums(key=key, tokens=1, cached_tokens=2, selected_LE=selected_LE, weight_sum_LE=selected_LE / TOP_K)


Answer = Callable[[dict[str, Any]], Response]


@dataclass
class FakeVllm:
    """vLLM's side: what reached it, and how it answers.

    `takes_up` says whether its input processor sees the ticket; `answer` replaces the usual answers.
    """

    workers: FakeWorkers
    bodies: list[bytes] = field(default_factory=list)
    payloads: list[SteeringPayload | None] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    takes_up: bool = True
    answer: Answer | None = None
    chunk_bytes: int = 0

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.bodies[-1])

    @property
    def payload(self) -> SteeringPayload:
        payload = self.payloads[-1]
        assert payload is not None
        return payload

    async def serve(self, request: Request) -> Response:
        raw = await request.body()
        self.bodies.append(raw)
        self.headers.append(dict(request.headers))
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return JSONResponse({"error": {"message": "no JSON object"}}, status_code=400)
        self._schedule(body.get("n", 1))
        if self.answer is not None:
            return self.answer(body)
        return self._usual_answer(request.url.path, body)

    def _schedule(self, num_choices: int) -> None:
        ticket = CURRENT_TICKET.get()
        self.payloads.append(ticket.payload if ticket else None)
        if ticket is not None and self.takes_up:
            ticket.take_up(num_choices)
            self.workers.finish(ticket.payload)

    def _usual_answer(self, path: str, body: dict[str, Any]) -> Response:
        if not body.get("stream"):
            return JSONResponse(whole_answer(path, body))
        stream = b"".join(stream_events(path, body))
        return StreamingResponse(self._chunks(stream), media_type="text/event-stream")

    async def _chunks(self, stream: bytes) -> AsyncIterator[bytes]:
        size = self.chunk_bytes or len(stream)
        for start in range(0, len(stream), size):
            yield stream[start : start + size]


def whole_answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
    choices = [{"index": index, "text": "да", "finish_reason": "stop"} for index in range(body.get("n", 1))]
    return {
        "/v1/chat/completions": {
            "id": "c",
            "object": "chat.completion",
            "choices": choices,
            "usage": {"total_tokens": 8},
        },
        "/v1/completions": {"id": "c", "object": "text_completion", "choices": choices},
        "/v1/responses": {"id": "r", "object": "response", "status": "completed", "output": []},
        "/v1/messages": {"id": "m", "type": "message", "content": [{"type": "text", "text": "да"}]},
    }.get(path, {"path": path})


def stream_events(path: str, body: dict[str, Any]) -> list[bytes]:
    if path == "/v1/responses":
        return _response_events()
    if path == "/v1/messages":
        return _message_events()
    return _choice_events(num_choices=body.get("n", 1), with_usage="stream_options" in body)


def _choice_events(*, num_choices: int, with_usage: bool) -> list[bytes]:
    texts = ("Пр\u2028и", "вет \x85", " мир")
    events = [_choice(index, text) for text in texts for index in range(num_choices)]
    events.insert(2, b": keep-alive\n\n")
    events.extend(_choice(index, "!", finish_reason="stop") for index in range(num_choices))
    if with_usage:
        events.append(event({"id": "c", "choices": [], "usage": {"total_tokens": 8}}))
    return [*events, b"data: [DONE]\n\n"]


def _choice(index: int, text: str, *, finish_reason: str | None = None) -> bytes:
    return event({"id": "c", "choices": [{"index": index, "text": text, "finish_reason": finish_reason}]})


def _response_events() -> list[bytes]:
    response = {"id": "r", "status": "in_progress"}
    return [
        event({"type": "response.created", "sequence_number": 0, "response": response}, "response.created"),
        event({"type": "response.in_progress", "sequence_number": 1, "response": response}, "response.in_progress"),
        event(
            {"type": "response.output_text.delta", "sequence_number": 2, "delta": "да"}, "response.output_text.delta"
        ),
        event(
            {"type": "response.completed", "sequence_number": 3, "response": {**response, "status": "completed"}},
            "response.completed",
        ),
    ]


def _message_events() -> list[bytes]:
    return [
        event({"type": "message_start", "message": {"id": "m", "content": []}}, "message_start"),
        event({"type": "content_block_delta", "index": 0, "delta": {"text": "да"}}, "content_block_delta"),
        event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, "message_delta"),
        event({"type": "message_stop"}, "message_stop"),
    ]


def event(document: dict[str, Any], name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def data_of(stream: bytes) -> list[dict[str, Any]]:
    """Give the JSON of a stream's events, comments and the end mark left out."""
    lines = [line.removeprefix(b"data: ") for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


GENERATING = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")
OTHERS = ("/v1/chat/completions/batch", "/invocations", "/inference/v1/generate", "/v1/embeddings")


def question(path: str, text: str = "Привет", **fields: Any) -> dict[str, Any]:
    """Give a request body of a route."""
    asked = {
        "/v1/completions": {"prompt": text},
        "/v1/responses": {"input": text},
    }.get(path, {"messages": [{"role": "user", "content": text}]})
    return {"model": "fake", **asked, **fields}


async def make_app(vllm: FakeVllm, workers: Any, *, engine: dict[str, Any] | None = None) -> FastAPI:
    """Build a server as vLLM does: its routes, then the plugin's; settings come from the environment."""
    app = FastAPI()
    for path in (*GENERATING, *OTHERS):
        app.add_api_route(path, vllm.serve, methods=["POST"])
    plugin = PolyglyphEndpoints()
    plugin.attach_router(app)
    settings = app.state.polyglyph_settings
    app.state.polyglyph = await start_service(settings, workers, engine=engine or {}, labeller=make_labeller())
    return app
