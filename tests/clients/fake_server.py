"""A server on a loopback port that speaks Polyglyph's HTTP, in front of a fake engine."""

import json
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from polyglyph.contract.edits import check_binding, check_edits
from polyglyph.contract.errors import AdminKeyError, RequestError, UnknownExpertSetError, UnknownPlanError
from polyglyph.contract.expert_set import ExpertSet, check_expert_set, parse_expert_set
from polyglyph.contract.plan import PHASES, Edit, Plan, parse_plan
from polyglyph.contract.policy import Policy, parse_policy
from polyglyph.contract.routing import ArrayDocument, parse_routing
from polyglyph.contract.stats import Stats, StatsGroup
from polyglyph.contract.steering import SteeringEcho, SteeringRequest, parse_steering
from tests.clients.fake_engine import MODEL, NUM_EXPERTS, NUM_LAYERS, FakeEngine, Faults, Result, Steering, tokenize

API_KEY = "caller-key-5f1c"
ADMIN_KEY = "admin-key-93ab"
LONG_STREAM = 100
PAUSE_AFTER = 8
PAUSE_S = 10
"""A long stream waits so long for a client that goes away, after so many chunks."""


class UnauthorizedError(RequestError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeServer:
    """The state behind the routes.

    Attributes:
        is_plain: Answers as plain vLLM does: no fields, no routes of ours.
        accepts: Words of wrong requests that this server serves all the same.
        num_lost: Tokens of each answer that the stats miss.
        num_drafts: Tokens of each answer that a speculating engine counts behind its end.
        counts_drafts_in_traces: Traces and summaries hold these tokens too, as they should.
        mistakes_second_choice: The second choice gets the trace of the first and its last row again.
        garbles_streamed_traces: A stream's trace names other experts.
        counted: What was computed, by tag.
    """

    engine: FakeEngine = field(default_factory=FakeEngine)
    plans: dict[str, Plan] = field(default_factory=dict)
    expert_sets: dict[str, ExpertSet] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    seen: list[Request] = field(default_factory=list)
    hooks_in_place: bool = True
    is_plain: bool = False
    has_chat_template: bool = True
    wants_keys: bool = False
    inline_edits: bool = True
    leaves_out_token_ids: bool = False
    accepts: str = ""
    text: str = "<think>because</think>Paris"
    block_size: int = 16
    fails_with: int | None = None
    keeps_stats: bool = True
    num_lost: int = 0
    num_drafts: int = 0
    counts_drafts_in_traces: bool = False
    mistakes_second_choice: bool = False
    garbles_streamed_traces: bool = False
    counted: dict[str, list[Result]] = field(default_factory=dict)
    url: str = ""

    def answer(self, request: Request) -> Any:
        if self.fails_with:
            return self.fails_with, {"error": {"message": "boom", "code": self.fails_with}}
        try:
            return 200, self._answer(request)
        except RequestError as error:
            return error.status, error.to_openai()
        except KeyError:
            return 404, {"error": {"message": "Not Found", "type": "NotFoundError", "param": None, "code": 404}}

    def _answer(self, request: Request) -> Any:
        self._check_keys(request)
        path = request.path.partition("?")[0]
        if path == "/v1/models":
            return {"object": "list", "data": [{"id": "fake", "object": "model", "max_model_len": 4096}]}
        if path in {"/v1/chat/completions", "/v1/completions"}:
            return self._generate(request.body, is_chat="chat" in path)
        if self.is_plain:
            raise KeyError(path)
        if path.startswith("/v1/steering/plans"):
            return self._plans(request, path.removeprefix("/v1/steering/plans").removeprefix("/"))
        if path.startswith("/v1/routing/expert-sets"):
            return self._expert_sets(request, path.removeprefix("/v1/routing/expert-sets").removeprefix("/"))
        return {
            "GET /v1/routing/model": self._model,
            "GET /v1/routing/stats": lambda: self.stats(request.path.partition("tag=")[2]),
            "POST /v1/routing/stats/reset": lambda: {"reset": True},
            "GET /v1/steering/policy": lambda: self.policy.model_dump(mode="json", by_alias=True, exclude_none=True),
            "PUT /v1/steering/policy": lambda: self._put_policy(request.body),
            "GET /v1/steering/schema": lambda: {"plan": Plan.model_json_schema()},
            "POST /detokenize": lambda: {"prompt": "".join(f"word{token}\n" for token in request.body["tokens"])},
            "POST /v1/steering/validate": lambda: self._validate(request.body),
        }[f"{request.method} {path}"]()

    def _check_keys(self, request: Request) -> None:
        if not self.wants_keys:
            return
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer not in {API_KEY, ADMIN_KEY}:
            raise UnauthorizedError("this server wants an API key", param="Authorization")
        is_admin_route = request.method in {"PUT", "DELETE"} or "/stats" in request.path
        if is_admin_route and ADMIN_KEY not in {bearer, request.headers.get("x-polyglyph-admin-key")}:
            raise AdminKeyError("this route needs the server's admin key", param="Authorization")

    def _plans(self, request: Request, name: str) -> Any:
        if not name:
            return {"object": "list", "data": [_entry(plan) for plan in self.plans.values()], "unreadable": []}
        if request.method == "PUT":
            plan = parse_plan(request.body)
            check_binding(plan, MODEL.binding, param="plan.model")
            self.plans[name] = plan
            return _entry(plan)
        plan = self._find(name, param="name")
        if request.method == "DELETE":
            del self.plans[name]
            return {"name": name, "deleted": True}
        return plan.to_json()

    def _expert_sets(self, request: Request, name: str) -> Any:
        if not name:
            return {"object": "list", "data": [_set_entry(experts) for experts in self.expert_sets.values()]}
        if request.method == "PUT":
            experts = parse_expert_set(request.body)
            check_expert_set(experts, MODEL)
            self.expert_sets[name] = experts
            return _set_entry(experts)
        if name not in self.expert_sets:
            raise UnknownExpertSetError(f"name: there is no expert set '{name}'", param="name")
        if request.method == "DELETE":
            del self.expert_sets[name]
            return {"name": name, "deleted": True}
        return self.expert_sets[name].to_json()

    def _find(self, name: str, *, param: str) -> Plan:
        if name not in self.plans:
            raise UnknownPlanError(f"{param}: there is no plan '{name}'", param=param)
        return self.plans[name]

    def _put_policy(self, body: Any) -> Any:
        self.policy = parse_policy(body)
        return body

    def _validate(self, body: Any) -> Any:
        try:
            plan = parse_plan(body["plan"])
            check_binding(plan, MODEL.binding, param="plan.model")
            check_edits(plan.edits, MODEL, strength=1.0, param="plan.edits")
        except RequestError as error:
            return {"valid": False, "errors": [error.to_openai()["error"]]}
        edits = [edit.model_dump(mode="json", exclude_none=True) for edit in plan.edits]
        return {"valid": True, "errors": [], "applied": True, "plan": plan.name, "edits": edits}

    def _model(self) -> Any:
        hooks = [
            {"layer": r.layer, "name": r.name, "in_place": self.hooks_in_place, "has_run": True} for r in MODEL.routers
        ]
        worker = {"rank": 0, "tp_rank": 0, "pp_rank": 0, "runner": "v1", "hooks": hooks, "expected_layers": NUM_LAYERS}
        return {
            **MODEL.model_dump(mode="json"),
            "fingerprint": MODEL.binding.fingerprint,
            "workers": [worker],
            "versions": {"polyglyph": "0.1.0", "vllm": "0.32.0"},
            "settings": {"stats": self.keeps_stats, "steering_default": "off", "inline_edits": self.inline_edits},
            "engine": {
                "model": "/nowhere/fake",
                "block_size": self.block_size,
                "num_speculative_tokens": self.num_drafts,
            },
        }

    def stats(self, tag: str = "") -> Any:
        groups = (
            self._counted_groups(tag)
            if tag
            else tuple(
                StatsGroup(
                    request_script=script,
                    script=script,
                    phase=phase,
                    plan=plan,
                    tag="",
                    group_tokens=tokens,
                    cached_tokens=7,
                    selected=ArrayDocument.from_numpy(_counts(expert, tokens)),
                    weight_sum=ArrayDocument.from_numpy(_counts(expert, tokens).astype(np.float64)),
                )
                for script, phase, plan, tokens, expert in (
                    ("Cyrl", "prompt", "", 40, 1),
                    ("Cyrl", "answer", "", 20, 2),
                    ("Latn", "prompt", plan_of().fingerprint, 100, 3),
                )
            )
        )
        stats = Stats(
            model_fingerprint=MODEL.binding.fingerprint,
            layers=NUM_LAYERS,
            experts=NUM_EXPERTS,
            top_k=2,
            since="2026-01-01T00:00:00Z",
            until="2026-01-01T00:01:00Z",
            versions={"polyglyph": "0.1.0"},
            overflow_tokens=0,
            groups=groups,
        )
        return stats.model_dump(mode="json", by_alias=True)

    def _counted_groups(self, tag: str) -> tuple[StatsGroup, ...]:
        return tuple(
            StatsGroup(
                request_script="Latn",
                script="Latn",
                phase=phase,
                plan="",
                tag=tag,
                group_tokens=result.num_tokens[row],
                cached_tokens=result.num_cached if phase == "prompt" else 0,
                selected=ArrayDocument.from_numpy(result.selected[row]),
                weight_sum=ArrayDocument.from_numpy(result.selected[row].astype(np.float64)),
            )
            for result in self.counted.get(tag, ())
            for row, phase in enumerate(PHASES)
        )

    def _count(self, tag: str, result: Result) -> None:
        self.counted.setdefault(tag, []).append(result.first(len(result.rows) - self.num_lost))
        if self.num_drafts and not self.counts_drafts_in_traces:
            self.counted[tag].append(replace(result.first(self.num_drafts), num_cached=0))

    def _generate(self, body: dict[str, Any], *, is_chat: bool) -> Any:
        if is_chat and not self.has_chat_template:
            raise RequestError("the tokenizer has no chat template, so a chat_template must be given")
        wrong = json.dumps({name: body.get(name) for name in ("steering", "routing")})
        steering, echo = Steering(), None
        if not self.is_plain and not (self.accepts and self.accepts in wrong):
            steering, echo = self._steering(body)
            if "routing" in body:
                parse_routing(body["routing"], num_layers=NUM_LAYERS)
        results = [self._run(body, steering, is_chat=is_chat, choice=index) for index in range(body.get("n") or 1)]
        if self.counts_drafts_in_traces:
            results = [result.with_drafts(self.num_drafts) for result in results]
        answer = _chat_answer(self.text, results[0]) if is_chat else _completion_answer(self.text, results)
        if self.leaves_out_token_ids:
            answer.pop("prompt_token_ids", None)
        if echo is not None:
            totals = {"tokens_steered": results[0].tokens_steered, "dose": results[0].dose}
            answer["steering"] = echo.model_copy(update=totals).model_dump(mode="json")
        routing = {} if self.is_plain else body.get("routing") or {}
        if routing.get("return"):
            answer["routing"] = self._routing(results, routing["return"], is_streamed=bool(body.get("stream")))
        if body.get("stream") and not is_chat:
            return CompletionStream(answer, lambda sent: self._count_sent(routing.get("tag", ""), results, sent))
        for result in results:
            self._count(routing.get("tag", ""), result)
        return _chunks(answer, self.text) if body.get("stream") else answer

    def _routing(self, results: list[Result], returned: list[str], *, is_streamed: bool) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if "summary" in returned:
            counts = sum(result.selected for result in results)
            num_tokens = np.sum([result.num_tokens for result in results], axis=0).tolist()
            summary = replace(results[0], selected=counts, num_tokens=num_tokens).summary
            fields["summary"] = summary.model_dump(mode="json", exclude_none=True)
        if "tokens" in returned:
            traces = [result.trace for result in results]
            if self.mistakes_second_choice and len(results) > 1:
                traces[1] = replace(results[0], rows=[*results[0].rows[:-1], results[0].rows[0]]).trace
            if self.garbles_streamed_traces and is_streamed:
                ids = traces[0].ids.to_numpy()[:, ::-1]
                traces[0] = traces[0].model_copy(update={"ids": ArrayDocument.from_numpy(ids)})
            documents = [trace.model_dump(mode="json", exclude_none=True) for trace in traces]
            fields |= {"tokens": documents[0]} if len(documents) == 1 else {"sequences": documents}
        return fields

    def _count_sent(self, tag: str, results: list[Result], num_sent: int) -> None:
        for result in results:
            is_whole = num_sent == len(result.ids)
            self._count(tag, result if is_whole else result.first(len(result.prompt_ids) + num_sent - 1))

    def _run(self, body: dict[str, Any], steering: Steering, *, is_chat: bool, choice: int) -> Result:
        prompt = body["messages"][-1]["content"] if is_chat else body["prompt"]
        ids = tokenize(prompt) if isinstance(prompt, str) else list(prompt)
        is_sampled = body.get("temperature") and body.get("top_p", 1) > 0.01
        seed = (body.get("seed") or 0) + choice if is_sampled else 0
        num_max = body.get("max_tokens") or body.get("max_completion_tokens") or 4
        with self.engine.lock:
            self.engine.num_active_steered += steering.is_active
        try:
            return self.engine.generate(ids, steering, max_tokens=num_max, seed=seed, salt=body.get("cache_salt") or "")
        finally:
            with self.engine.lock:
                self.engine.num_active_steered -= steering.is_active

    def _steering(self, body: dict[str, Any]) -> tuple[Steering, SteeringEcho | None]:
        if "steering" not in body:
            return Steering(), None
        parsed = parse_steering(body["steering"])
        if isinstance(parsed, str):
            return Steering(), _echo([], (), 0.0, PHASES)
        assert isinstance(parsed, SteeringRequest)
        plan_param = "steering" if isinstance(body["steering"], str) else "steering.plan"
        plans = [self._find(name, param=plan_param) for name in parsed.plans]
        edits = (*(edit for plan in plans for edit in plan.edits), *parsed.edits)
        check_edits(edits, MODEL, strength=parsed.strength, param="steering.edits")
        phases = parsed.phases or (plans[0].phases if plans else PHASES)
        strength = parsed.strength or (1.0 if self.engine.faults.edits_at_strength_0 else 0.0)
        return Steering(edits, strength, phases), _echo(plans, edits, parsed.strength, phases)


@contextmanager
def serving(server: FakeServer) -> Iterator[FakeServer]:
    """Answer on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            server.seen.append(request)
            status, answer = server.answer(request)
            if isinstance(answer, CompletionStream):
                self._write_stream(answer)
            else:
                self._write(status, answer)

        def _write_stream(self, stream: "CompletionStream") -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            for index, event in enumerate(stream.events()):
                if index == PAUSE_AFTER and stream.num_tokens > LONG_STREAM:
                    self.wfile.flush()
                    if select.select([self.connection], [], [], PAUSE_S)[0]:
                        stream.on_end(index)
                        return
                self.wfile.write(event)
            stream.on_end(stream.num_tokens)

        def _write(self, status: int, answer: Any) -> None:
            is_stream = isinstance(answer, bytes)
            data = answer if is_stream else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "text/event-stream" if is_stream else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
            """Say nothing."""

    class Listener(ThreadingHTTPServer):
        request_queue_size = 64

    listener = Listener(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()


def plan_of(name: str = "to-latin", **changes: Any) -> Plan:
    """Give a plan for the fake model."""
    document = {
        "schema": "polyglyph.plan/1",
        "name": name,
        "description": "answers in Latin letters",
        "model": MODEL.binding.model_dump(),
        "edits": [{"layer": 0, "experts": [1], "op": "ban"}, {"layer": 1, "experts": [2], "op": "add", "value": 1.5}],
    }
    return parse_plan(document | changes)


def faulty(**faults: Any) -> FakeServer:
    """Give a server whose engine does something wrong."""
    return FakeServer(engine=FakeEngine(Faults(**faults)))


def _entry(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "fingerprint": plan.fingerprint,
        "description": plan.description,
        "phases": list(plan.phases),
        "num_edits": len(plan.edits),
        "fits_model": True,
        "builtin": False,
    }


def set_of(name: str = "core", **changes: Any) -> ExpertSet:
    """Give an expert set of the fake model."""
    document = {
        "schema": "polyglyph.experts/1",
        "name": name,
        "description": "knows",
        "model": MODEL.binding.model_dump(),
        "experts": [{"layer": 1, "experts": [0, 2], "weights": [1.5, -0.5]}],
        "bias": -0.25,
    }
    return parse_expert_set(document | changes)


def _set_entry(experts: ExpertSet) -> dict[str, Any]:
    return {
        "name": experts.name,
        "fingerprint": experts.fingerprint,
        "description": experts.description,
        "num_experts": experts.num_experts,
        "layers": [entry.layer for entry in experts.experts],
        "phase": experts.phase,
        "gives_probability": experts.gives_probability,
        "threshold": experts.threshold_in_force,
        "guard": experts.guard,
        "fits_model": True,
    }


def _echo(plans: list[Plan], edits: tuple[Edit, ...], strength: float, phases: Any) -> SteeringEcho:
    return SteeringEcho(
        applied=bool(edits) and strength != 0,
        plan=tuple(plan.name for plan in plans) if len(plans) > 1 else plans[0].name if plans else None,
        fingerprint=plans[0].fingerprint if plans else None,
        strength=strength,
        phases=phases,
        source="request",
        request_script="Latn",
    )


def _counts(expert: int, tokens: int) -> np.ndarray:
    counts = np.zeros((NUM_LAYERS, NUM_EXPERTS), dtype=np.int64)
    counts[:, expert] = tokens
    counts[:, 0] = tokens
    return counts


def _usage(result: Result) -> dict[str, Any]:
    return {
        "prompt_tokens": len(result.prompt_ids),
        "completion_tokens": len(result.ids),
        "total_tokens": len(result.prompt_ids) + len(result.ids),
        "prompt_tokens_details": {"cached_tokens": result.num_cached},
    }


def _chat_answer(text: str, result: Result) -> dict[str, Any]:
    content = [
        {
            "token": f"token_id:{token}",
            "bytes": [],
            "logprob": logprob,
            "top_logprobs": [
                {"token": f"token_id:{other}", "bytes": [], "logprob": value} for other, value in top.items()
            ],
        }
        for token, logprob, top in zip(result.ids, result.logprobs, result.top, strict=True)
    ]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "logprobs": {"content": content},
        "finish_reason": "length",
        "token_ids": result.ids,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [choice],
        "usage": _usage(result),
        "prompt_token_ids": result.prompt_ids,
    }


@dataclass(frozen=True)
class CompletionStream:
    """A completion in chunks of one token for every choice; `on_end` learns how many were sent."""

    answer: dict[str, Any]
    on_end: Callable[[int], None]

    @property
    def num_tokens(self) -> int:
        return len(self.answer["choices"][0]["token_ids"])

    def events(self) -> Iterator[bytes]:
        ours = {name: self.answer[name] for name in ("steering", "routing") if name in self.answer}
        base = {name: self.answer[name] for name in ("id", "object", "created", "model")}
        for index in range(self.num_tokens):
            choices = [_chunk_of(choice, index) for choice in self.answer["choices"]]
            opening = {"steering": ours["steering"]} if "steering" in ours and index == 0 else {}
            yield _event(base | {"choices": choices} | opening)
        yield _event(base | {"choices": [], "usage": self.answer["usage"]} | ours)
        yield b"data: [DONE]\n\n"


def _chunk_of(choice: dict[str, Any], index: int) -> dict[str, Any]:
    logprobs = {name: values[index : index + 1] for name, values in choice["logprobs"].items()}
    chunk = {
        "index": choice["index"],
        "text": "",
        "logprobs": logprobs,
        "token_ids": choice["token_ids"][index : index + 1],
    }
    return chunk | {"finish_reason": None} | ({} if index else {"prompt_token_ids": choice["prompt_token_ids"]})


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def _completion_answer(text: str, results: list[Result]) -> dict[str, Any]:
    usage = _usage(results[0])
    num_generated = sum(len(result.ids) for result in results)
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "fake",
        "choices": [_completion_choice(text, result, index) for index, result in enumerate(results)],
        "usage": usage | {"completion_tokens": num_generated, "total_tokens": usage["prompt_tokens"] + num_generated},
    }


def _completion_choice(text: str, result: Result, index: int) -> dict[str, Any]:
    logprobs = {
        "tokens": [f"token_id:{token}" for token in result.ids],
        "token_logprobs": result.logprobs,
        "top_logprobs": [{f"token_id:{token}": value for token, value in top.items()} for top in result.top],
        "text_offset": [0] * len(result.ids),
    }
    return {
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": "length",
        "token_ids": result.ids,
        "prompt_token_ids": result.prompt_ids,
    }


def _chunks(answer: dict[str, Any], text: str) -> bytes:
    pieces = [text[start : start + 5] for start in range(0, len(text), 5)]
    events = []
    for index, piece in enumerate(pieces):
        is_last = index == len(pieces) - 1
        choice = {"index": 0, "delta": {"content": piece}, "finish_reason": "stop" if is_last else None}
        event = {"id": answer["id"], "object": "chat.completion.chunk", "created": 1, "model": "fake"}
        event["choices"] = [choice]
        if "steering" in answer and index == 0:
            event["steering"] = answer["steering"] | {"tokens_steered": None, "dose": None}
        event |= {name: answer[name] for name in ("steering", "routing") if name in answer and is_last}
        events.append(event)
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
