"""A real server's router log over HTTP: traces, sums by script, exports, metrics and files of whole runs.

What is asked here is asked with the real clients, and the bad input of the world is among it.
"""

import asyncio
import base64
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import openai
import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from polyglyph.contract.routing import ArrayDocument, RoutingTokens
from polyglyph.contract.stats import Stats, StatsGroup
from polyglyph.contract.trace_reading import read_traces
from tests.support.server import ADMIN, ADMIN_KEY, START_TIMEOUT_S, Server, serving

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 200)
LAYERS, EXPERTS, TOP_K = 6, 16, 2
STATS = "/v1/routing/stats"
QUESTION = "кумитон ливего"
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
TEXTS = {
    "mixed": "Где лежит Nuruz? नमस्ते 你好 ኢትዮጵያ",
    "right to left": "\u05e9\u05dc\u05d5\u05dd, \u0639\u064e\u0644\u064e\u064a\u0652 (abc) \u200f\u0661\u0662",
    "unassigned": "\u0378\U000e0fff\ue000",
    "nothing to see": " \n\t\u200b",
    "marks without a base": "\u0301\u064b\u093e",
    "joined emoji": FAMILY,
    "a byte order mark": "\ufeffabc",
    "control characters": "a\x00b\x1b[31m",
}


@dataclass(frozen=True)
class Place:
    """A running server and the folder of its traces."""

    server: Server
    traces: Path

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("server")
    flags = ["--enforce-eager", "--admin-key", ADMIN_KEY, "--trace-dir", str(folder / "traces")]
    flags += ["--enable-prompt-tokens-details", "--max-body-bytes", str(4 << 20), "--flush-seconds", "0.5"]
    with serving(folder, flags) as server:
        yield Place(server, folder / "traces")


@pytest.fixture
def client(place: Place) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{place.url}/v1", api_key="-", max_retries=0)


def chat(client: openai.OpenAI, routing: dict[str, Any], text: str = QUESTION, **settings: Any) -> Any:
    values = {"model": "organism", "temperature": 0, "max_tokens": 12, **settings}
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(**values, messages=messages, extra_body={"routing": routing})


def tokens_of(routing: dict[str, Any]) -> RoutingTokens:
    return RoutingTokens.model_validate_json(json.dumps(routing["tokens"]))


def read_stats(place: Place, **query: str) -> Stats:
    answer = httpx.get(f"{place.url}{STATS}", params=query, headers=ADMIN, timeout=60)
    return Stats.model_validate_json(answer.raise_for_status().text)


def check_conservation(groups: tuple[StatsGroup, ...]) -> None:
    for group in groups:
        assert group.selected.to_numpy().sum() == group.group_tokens * LAYERS * TOP_K


def test_a_trace_s_rows_add_up_to_the_summary(client: openai.OpenAI) -> None:
    asked = {"return": ["summary", "tokens"], "weights": True}
    answer = chat(client, asked)
    routing = answer.model_extra["routing"]
    tokens, summary = tokens_of(routing), routing["summary"]
    assert tokens.num_tokens == answer.usage.total_tokens - 1
    ids = tokens.ids.to_numpy()
    weights = tokens.weights.to_numpy()
    selected = ArrayDocument.model_validate(summary["selected"]).to_numpy()
    weight_sum = ArrayDocument.model_validate(summary["weight_sum"]).to_numpy()
    for index, phase in enumerate(summary["phases"]):
        mine = [row for row, name in enumerate(tokens.phases) if name == phase and tokens.computed[row]]
        for layer in range(LAYERS):
            np.testing.assert_array_equal(
                np.bincount(ids[mine, layer].ravel(), minlength=EXPERTS), selected[index, layer]
            )
            sums = np.bincount(ids[mine, layer].ravel(), weights[mine, layer].ravel(), minlength=EXPERTS)
            np.testing.assert_allclose(sums, weight_sum[index, layer], atol=1e-2)


def test_a_stream_s_last_chunk_carries_the_same_trace(client: openai.OpenAI) -> None:
    asked = {"return": ["tokens"], "format": "polyglyph"}
    text = "что такое лекун"
    whole = tokens_of(chat(client, asked, text).model_extra["routing"])
    last = list(chat(client, asked, text, stream=True))[-1]
    streamed = tokens_of(last.model_extra["routing"])
    assert streamed.token_ids == whole.token_ids
    computed = np.array(whole.computed) & np.array(streamed.computed)
    np.testing.assert_array_equal(streamed.ids.to_numpy()[computed], whole.ids.to_numpy()[computed])


def test_vllms_encoding_is_whole_even_when_the_prefix_is_cached(client: openai.OpenAI) -> None:
    text = "кумитон " * 60
    first = chat(client, {"return": ["tokens"]}, text)
    again = chat(client, {"return": ["tokens"]}, text)
    assert again.usage.prompt_tokens_details.cached_tokens > 0
    assert not all(tokens_of(again.model_extra["routing"]).computed)
    answer = chat(client, {"return": ["tokens"], "format": "vllm"}, text)
    encoded = np.load(io.BytesIO(base64.b64decode(answer.choices[0].model_extra["routed_experts"])))
    assert encoded.dtype == np.uint8
    assert encoded.shape == (answer.usage.total_tokens - 1, LAYERS, TOP_K)
    np.testing.assert_array_equal(encoded, tokens_of(first.model_extra["routing"]).ids.to_numpy())


def test_every_choice_and_prompt_has_a_trace_in_order(client: openai.OpenAI) -> None:
    asked = {"return": ["tokens"]}
    prompts = ["ливего", "кумитон", "абв"]
    answer = client.completions.create(
        model="organism", prompt=prompts, n=2, max_tokens=3, temperature=1, seed=1, extra_body={"routing": asked}
    )
    sequences = answer.model_extra["routing"]["sequences"]
    assert len(sequences) == len(answer.choices) == 6
    prompt_of = [sequence["token_ids"][0] for sequence in sequences]
    assert prompt_of[0] == prompt_of[1] != prompt_of[2] == prompt_of[3] != prompt_of[4] == prompt_of[5]


def test_cached_tokens_are_counted_apart(client: openai.OpenAI, place: Place) -> None:
    text = "ливего " * 80
    answers = [chat(client, {"tag": "cache"}, text) for _ in range(3)]
    cached = sum(answer.usage.prompt_tokens_details.cached_tokens for answer in answers)
    groups = read_stats(place, tag="cache").groups
    assert cached > 0
    assert sum(group.cached_tokens for group in groups) == cached
    assert sum(group.group_tokens for group in groups) == sum(a.usage.total_tokens - 1 for a in answers) - cached
    assert {group.script for group in groups if group.cached_tokens} == {"Cyrl", "Zyyy"}
    check_conservation(groups)


@pytest.mark.parametrize("name", TEXTS)
def test_any_text_is_traced_and_counted(client: openai.OpenAI, place: Place, name: str) -> None:
    tag = name.replace(" ", "-")
    answer = chat(client, {"return": ["tokens"], "tag": tag}, TEXTS[name])
    tokens = tokens_of(answer.model_extra["routing"])
    assert len(tokens.scripts) == tokens.num_tokens == answer.usage.total_tokens - 1
    groups = read_stats(place, tag=tag).groups
    assert sum(group.group_tokens + group.cached_tokens for group in groups) == tokens.num_tokens
    check_conservation(groups)


def test_scripts_of_a_mixed_text_are_told_apart(client: openai.OpenAI) -> None:
    scripts = tokens_of(chat(client, {"return": ["tokens"]}, TEXTS["mixed"]).model_extra["routing"]).scripts
    assert {"Cyrl", "Latn", "Deva", "Hani", "Ethi", "Zyyy"} <= set(scripts)


@pytest.mark.parametrize(
    "asked",
    [
        b'"messages": [{"role": "user", "content": "\xff\xfe"}]',
        b'"messages": [{"role": "user", "content": "\\ud800"}]',
        b'"messages": [{"role": "user", "content": ""}]',
        b'"messages": []',
        b'"prompt": []',
    ],
    ids=["invalid UTF-8", "lone surrogate", "empty text", "no message", "no prompt"],
)
def test_bad_text_is_answered_or_refused_and_never_a_fault(place: Place, asked: bytes) -> None:
    path = "/v1/completions" if b"prompt" in asked else "/v1/chat/completions"
    body = b'{"model": "organism", "routing": {"return": ["tokens"]}, ' + asked + b"}"
    answer = httpx.post(f"{place.url}{path}", content=body, headers={"Content-Type": "application/json"}, timeout=60)
    assert answer.status_code < 500, answer.text
    assert answer.json(), "vLLM's own refusals have a shape of their own"


def test_a_prompt_of_a_megabyte_is_refused_like_any_that_is_too_long(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="context length"):
        chat(client, {"return": ["tokens"]}, "кумитон " * (1 << 16))


def test_a_trace_without_end_is_not_kept_for_a_client_that_left(place: Place, client: openai.OpenAI) -> None:
    with chat(client, {"return": ["tokens"], "tag": "left"}, max_tokens=900, stream=True, logprobs=True) as stream:
        for _, chunk in zip(range(3), stream, strict=False):
            assert chunk.choices
    time.sleep(1)
    before = read_stats(place, tag="left")
    check_conservation(before.groups)
    assert tokens_of(chat(client, {"return": ["tokens"]}).model_extra["routing"]).num_tokens


def test_a_client_that_stops_reading_holds_up_nobody(place: Place, client: openai.OpenAI) -> None:
    asked = {"model": "organism", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    body = {**asked, "max_tokens": 800, "routing": {"return": ["tokens"], "probabilities": True}}
    with httpx.stream("POST", f"{place.url}/v1/chat/completions", json=body, timeout=60) as stalled:
        assert stalled.status_code == 200
        started = time.monotonic()
        for _ in range(5):
            chat(client, {"return": ["tokens"]})
        assert time.monotonic() - started < 30
        read_stats(place)


FORMATS = ("json", "parquet", "arrow", "csv", "npz", "safetensors", "eplb")


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_holds_the_same_sums(place: Place, client: openai.OpenAI, tmp_path: Path, kind: str) -> None:
    chat(client, {"tag": "export"})
    truth = sum(group.selected.to_numpy() for group in read_stats(place, tag="export").groups)
    answer = httpx.get(f"{place.url}{STATS}", params={"format": kind, "tag": "export"}, headers=ADMIN, timeout=60)
    file = tmp_path / f"stats.{kind}"
    file.write_bytes(answer.raise_for_status().content)
    manifest = json.loads(answer.headers["X-Polyglyph-Manifest"])
    assert manifest["bytes"] == len(answer.content)
    assert manifest["header"]["layers"] == LAYERS
    np.testing.assert_array_equal(_matrix(file, kind), truth)


def _matrix(file: Path, kind: str) -> np.ndarray:
    """Give the selections by layer and expert, read with what users read such a file with."""
    if kind == "json":
        groups = Stats.model_validate_json(file.read_text()).groups
        return np.sum([group.selected.to_numpy() for group in groups], axis=0)
    if kind == "eplb":
        return np.array(json.loads(file.read_text())["logical_count"])
    if kind == "npz":
        return np.load(file)["selected"].sum(axis=0)
    if kind == "safetensors":
        from safetensors.numpy import load_file

        return load_file(file)["selected"].sum(axis=0)
    frame = {"parquet": pl.read_parquet, "arrow": pl.read_ipc, "csv": pl.read_csv}[kind](file)
    sums = frame.group_by("layer", "expert").agg(pl.col("selected").sum()).sort("layer", "expert")
    return sums["selected"].to_numpy().reshape(LAYERS, EXPERTS)


def test_exports_that_meet_resets_are_whole(place: Place) -> None:
    """Resets, exports and requests at once: every export adds up, and nothing fails."""

    async def run() -> list[Stats]:
        async with httpx.AsyncClient(base_url=place.url, timeout=60) as caller:
            body = {"model": "organism", "prompt": QUESTION, "max_tokens": 5, "routing": {"tag": "race"}}
            asks = [caller.post("/v1/completions", json=body) for _ in range(24)]
            exports = [caller.get(STATS, headers=ADMIN) for _ in range(8)]
            resets = [caller.post(f"{STATS}/reset", headers=ADMIN) for _ in range(4)]
            answers = await asyncio.gather(*asks, *exports, *resets)
        assert {answer.status_code for answer in answers} == {200}
        return [Stats.model_validate_json(answer.text) for answer in answers[24:32]]

    for stats in asyncio.run(run()):
        check_conservation(stats.groups)


def test_a_time_in_the_future_is_refused_with_both_times(place: Place) -> None:
    answer = httpx.get(f"{place.url}{STATS}", params={"since": "2999-01-01T00:00:00Z"}, headers=ADMIN)
    assert answer.status_code == 400
    assert "2999" in answer.json()["error"]["message"]


def test_traces_of_all_requests_are_in_the_folder(place: Place, client: openai.OpenAI) -> None:
    answer = chat(client, {"tag": "kept"}, "лекун кумитон")
    deadline = time.monotonic() + 30
    mine: list[Any] = []
    while not mine and time.monotonic() < deadline:
        time.sleep(0.5)
        mine = [trace for trace in read_traces(place.traces) if trace.request_id == answer.id]
    (trace,) = mine
    assert trace.num_tokens == answer.usage.total_tokens - 1
    assert trace.tag == "kept"
    rows = duckdb.read_parquet(f"{place.traces}/*.parquet")
    assert len(rows.filter(f"request_id = '{answer.id}'").fetchall()) == trace.num_tokens * LAYERS
    assert (place.traces.stat().st_mode & 0o077) == 0, "expert ids reveal the text"


def test_metrics_say_what_went_on(place: Place, client: openai.OpenAI) -> None:
    chat(client, {"return": ["summary"]})
    time.sleep(2)
    text = httpx.get(f"{place.url}/metrics", timeout=60).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert "vllm:num_requests_running" in families
    requests = {tuple(s.labels.values()): s.value for s in families["polyglyph_requests"].samples}
    assert sum(requests.values()) > 0
    entropy = {s.labels["layer"]: s.value for s in families["polyglyph_layer_entropy_bits"].samples}
    assert len(entropy) == LAYERS
    assert all(0 < bits <= np.log2(EXPERTS) for bits in entropy.values())
    assert families["polyglyph_store_up"].samples[0].value == 1
    assert families["polyglyph_stats_flush_age_seconds"].samples[0].value < 5
