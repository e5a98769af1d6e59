"""A stream says what was done on its first and last events; nothing else of it changes, and no token waits."""

import asyncio
import itertools
import json
from typing import Any

import httpx
import pytest
from fastapi.responses import StreamingResponse
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.contract.steering import SteeringPayload
from polyglyph.routing.ticket import Ticket
from polyglyph.server.accounts import Account, Recorders
from polyglyph.server.dialects import DIALECTS
from polyglyph.server.metrics.counts import Metrics
from polyglyph.server.questions import Question
from polyglyph.server.resolution import Resolution
from polyglyph.server.sse import EventSplitter
from polyglyph.server.streams import StreamAnnotator
from tests.server.fakes import (
    BAN,
    GENERATING,
    REPORT,
    FakeVllm,
    FakeWorkers,
    data_of,
    event,
    make_labeller,
    make_plan,
    question,
    stream_events,
)

STEERED = {"steering": {"edits": [BAN]}, "routing": {"return": ["summary"], "tag": "a"}}


async def stream(client: httpx.AsyncClient, path: str, **fields: Any) -> bytes:
    answer = await client.post(path, json=question(path, stream=True, **fields))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return answer.content


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("chunk_bytes", [1, 7, 0])
async def test_a_stream_that_asks_nothing_passes_byte_for_byte(
    client: httpx.AsyncClient, vllm: FakeVllm, path: str, chunk_bytes: int
):
    vllm.chunk_bytes = chunk_bytes
    assert await stream(client, path) == b"".join(stream_events(path, {}))


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("fields", [{}, {"n": 3}, {"stream_options": {"include_usage": True}}])
async def test_the_first_and_the_last_event_carry_the_fields_and_the_rest_stays(
    client: httpx.AsyncClient, path: str, fields: dict[str, Any]
):
    plain = data_of(b"".join(stream_events(path, fields)))
    events = data_of(await stream(client, path, **fields, **STEERED))
    assert len(events) == len(plain)
    first, last = events[0]["steering"], events[-1]["steering"]
    assert "tokens_steered" not in first
    assert "dose" not in first
    assert first["applied"] is True
    assert "routing" not in events[0]
    assert last == {**first, "tokens_steered": 8, "dose": 0.25}
    assert events[-1]["routing"]["tag"] == "a"
    assert events[-1]["routing"]["summary"]["num_tokens"] == [5, 0, 3]
    assert [strip(event) for event in events] == plain
    assert not any("steering" in event for event in events[1:-1])


@pytest.mark.parametrize("path", GENERATING)
async def test_events_between_keep_their_bytes(client: httpx.AsyncClient, path: str):
    events = stream_events(path, {})
    answer = await stream(client, path, **STEERED)
    last = -2 if events[-1].startswith(b"data: [DONE]") else -1
    assert b"".join(events[1:last]) in answer
    if last == -2:
        assert answer.endswith(b"\n\ndata: [DONE]\n\n")


async def test_the_response_objects_of_a_responses_stream_carry_the_fields_too(client: httpx.AsyncClient):
    events = data_of(await stream(client, "/v1/responses", **STEERED))
    assert events[0]["response"]["steering"] == events[0]["steering"]
    assert events[-1]["response"]["steering"] == events[-1]["steering"]
    assert events[-1]["response"]["routing"] == events[-1]["routing"]


async def test_names_of_events_stay(client: httpx.AsyncClient):
    answer = await stream(client, "/v1/messages", **STEERED)
    assert answer.startswith(b"event: message_start\ndata: {")
    assert b"\n\nevent: message_stop\ndata: {" in answer


async def test_an_error_inside_a_stream_passes_unchanged(client: httpx.AsyncClient, vllm: FakeVllm):
    parts = [
        event({"choices": [{"index": 0, "text": "a", "finish_reason": None}]}),
        event({"error": {"message": "engine died", "code": 500}}),
        b"data: [DONE]\n\n",
    ]
    vllm.answer = lambda body: StreamingResponse(iter(parts), media_type="text/event-stream")
    answer = await stream(client, "/v1/completions", **STEERED)
    assert answer.endswith(parts[1] + parts[2])
    assert b"tokens_steered" not in answer


async def test_an_aborted_choice_gets_no_account(client: httpx.AsyncClient, vllm: FakeVllm, workers: FakeWorkers):
    workers.loses_receipts = True
    parts = [event({"choices": [{"index": 0, "text": "a", "finish_reason": "abort"}]}), b"data: [DONE]\n\n"]
    vllm.answer = lambda body: StreamingResponse(iter(parts), media_type="text/event-stream")
    answer = await stream(client, "/v1/completions", **STEERED)
    assert b"error" not in answer
    assert b"tokens_steered" not in answer


@pytest.mark.parametrize("path", GENERATING)
async def test_a_stream_whose_request_nobody_took_up_ends_in_an_error_before_any_text(
    client: httpx.AsyncClient, vllm: FakeVllm, path: str
):
    vllm.takes_up = False
    answer = await stream(client, path, **STEERED)
    assert b"steering_lost" in answer
    assert "да".encode() not in answer
    assert "вет".encode() not in answer


@pytest.mark.parametrize("path", GENERATING)
async def test_a_stream_without_receipt_ends_in_an_error(client: httpx.AsyncClient, workers: FakeWorkers, path: str):
    workers.loses_receipts = True
    answer = await stream(client, path, **STEERED)
    events = data_of(answer)
    assert "steering_lost" in json.dumps(events[-1])
    assert answer.endswith(b"data: [DONE]\n\n") == (path in GENERATING[:2])


async def test_a_client_that_goes_away_mid_stream_ends_the_request_and_nothing_else(
    client: httpx.AsyncClient, vllm: FakeVllm
):
    is_closed = asyncio.Event()

    async def endless() -> Any:
        try:
            while True:
                yield event({"choices": [{"index": 0, "text": "a", "finish_reason": None}]})
                await asyncio.sleep(0)
        finally:
            is_closed.set()

    vllm.answer = lambda body: StreamingResponse(endless(), media_type="text/event-stream")
    app = client._transport.app  # type: ignore[attr-defined]
    await ask_and_leave(app, json.dumps(question("/v1/completions", stream=True, **STEERED)).encode())
    assert is_closed.is_set()
    vllm.answer = None
    assert data_of(await stream(client, "/v1/completions", **STEERED))


async def ask_and_leave(app: Any, body: bytes) -> None:
    """Speak ASGI as a server does: after some events the client is gone."""
    num_sent = 0
    has_seen_enough = asyncio.Event()
    requests = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await has_seen_enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal num_sent
        num_sent += 1
        if num_sent == 5:
            has_seen_enough.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": "POST",
        "path": "/v1/completions",
        "raw_path": b"/v1/completions",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        "server": ("server", 80),
        "client": ("client", 1),
    }
    await asyncio.wait_for(app(scope, receive, send), timeout=10)


@pytest.mark.parametrize("path", GENERATING)
async def test_no_event_waits_unless_it_may_be_the_last(path: str):
    annotator, _ = make_annotator(path)
    dialect = DIALECTS[path]
    held: list[bytes] = []
    for part in stream_events(path, {"n": 2}):
        came = await annotator.feed(part)
        documents = data_of(part)
        if documents and dialect.can_be_last(documents[0]):
            held.append(part)
            assert part not in came
        else:
            assert came.endswith(part) or b"steering" in came


def make_annotator(path: str) -> tuple[StreamAnnotator, FakeWorkers]:
    workers = FakeWorkers()
    payload = SteeringPayload(key="0" * 32, edits=make_plan().edits, wants_summary=True)
    workers.finish(payload)
    resolution = Resolution(
        source="request", plan="to-latin", strength=1.0, phases=("answer",), edits=make_plan().edits
    )
    question = Question(resolution=resolution, routing=None, script="Cyrl", named_fields=frozenset({"steering"}))
    recorders = Recorders(
        workers=workers,  # type: ignore[arg-type]
        report=REPORT,
        labeller=make_labeller(),
        metrics=Metrics(),
    )
    account = Account(Ticket(payload, num_engine_requests=1), question=question, recorders=recorders)
    return StreamAnnotator(DIALECTS[path], account), workers


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(whole) + 1) for place in places), len(whole)]
    return [whole[start:end] for start, end in itertools.pairwise(edges)]


@given(path=st.sampled_from(GENERATING), places=st.lists(st.integers(0, 10_000), max_size=40))
def test_an_annotated_stream_does_not_depend_on_its_chunks(path: str, places: list[int]):
    async def run(chunks: list[bytes]) -> bytes:
        annotator, _ = make_annotator(path)
        return b"".join([await annotator.feed(chunk) for chunk in chunks]) + await annotator.finish()

    whole = b"".join(stream_events(path, {"n": 2, "stream_options": {}}))
    assert asyncio.run(run(cut(whole, places))) == asyncio.run(run([whole]))


LINES = st.sampled_from([b"data: {}", b"data:x", b": c", b"event: a", b"\r", b"", b"\xe2\x80\xa8", b"\n", b"\r\n"])


@given(
    whole=st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b""])), max_size=40).map(
        lambda lines: b"".join(line + end for line, end in lines)
    ),
    places=st.lists(st.integers(0, 10_000), max_size=40),
)
def test_events_do_not_depend_on_chunks_and_make_up_the_stream(whole: bytes, places: list[int]):
    def split(chunks: list[bytes]) -> list[bytes]:
        splitter = EventSplitter()
        return [event for chunk in chunks for event in splitter.feed(chunk)] + [splitter.rest()]

    events = split(cut(whole, places))
    assert events == split([whole])
    assert b"".join(events) == whole
    assert all(event.endswith((b"\n\n", b"\n\r\n")) for event in events[:-1])


def strip(document: dict[str, Any]) -> dict[str, Any]:
    return {
        name: strip(value) if name in {"response", "message"} else value
        for name, value in document.items()
        if name not in {"steering", "routing"}
    }
