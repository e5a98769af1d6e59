"""What a trace weighs in a response, measured over HTTP, and what it takes to encode one.

The first half asks a real server on the bundled organism; the second encodes arrays of two models' shapes.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from transformers import AutoTokenizer

from benchmarks.environment import environment_record
from polyglyph import bundled_organism
from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription
from polyglyph.contract.plan import PHASES
from polyglyph.contract.routing import ArrayDocument, RoutingEcho, RoutingRequest
from polyglyph.routing.reports import EngineReport
from polyglyph.routing.scripts.labeller import ScriptLabeller
from polyglyph.routing.traces import id_dtype
from polyglyph.routing.wire import WorkerTrace
from polyglyph.server.sse import encode_json
from polyglyph.server.token_traces import describe_tokens, encode_for_vllm
from tests.support.server import serving

SHAPES = ((6, 16, 2), (48, 128, 8))
"""Layers, experts, experts per token."""

ANSWER_TOKENS = 400
NUM_TOKENS = 500
ROUNDS = 15
TEXT = "кумитон лекун Nuruz "
ASKED: dict[str, dict[str, Any]] = {
    "ids": {},
    "ids, weights": {"weights": True},
    "ids, runner_up": {"runner_up": True},
    "ids, probabilities": {"probabilities": True},
    "all four": {"weights": True, "runner_up": True, "probabilities": True},
    "vllm": {"format": "vllm"},
}
"""By what comes back: what the request asks for beside `"return": ["tokens"]`."""


@dataclass(frozen=True)
class Response:
    """One response over HTTP.

    Attributes:
        asked: What came back, or "nothing".
        tokens: Tokens that the trace is of.
        num_bytes: The body.
    """

    asked: str
    tokens: int
    num_bytes: int


@dataclass(frozen=True)
class Encoding:
    """One trace of a model's shape, encoded.

    Attributes:
        layers: MoE layers.
        top_k: Experts per token.
        experts: Experts of a layer.
        asked: What is encoded.
        bytes_per_token: JSON as it goes out.
        array_bytes_per_token: Of these, base64 of arrays.
        ms_per_1000_tokens: Processor time from the workers' arrays to JSON, scripts of the tokens included.
    """

    layers: int
    top_k: int
    experts: int
    asked: str
    bytes_per_token: float
    array_bytes_per_token: float
    ms_per_1000_tokens: float


def run() -> dict[str, Any]:
    """Ask a server, then encode arrays."""
    responses = ask_server()
    labeller = ScriptLabeller.from_tokenizer(AutoTokenizer.from_pretrained(bundled_organism()))
    encodings = [encode(shape, asked, labeller) for shape in SHAPES for asked in ASKED]
    return {
        "benchmark": "traces",
        "responses": [asdict(response) for response in responses],
        "encodings": [asdict(encoding) for encoding in encodings],
        "tokens": NUM_TOKENS,
        "rounds": ROUNDS,
        **environment_record(),
    }


def to_markdown(record: dict[str, Any]) -> str:
    """Write the record as two tables."""
    plain, *traced = [Response(**row) for row in record["responses"]]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    over_http = (
        f"Over HTTP: a chat completion of the bundled organism (6 layers, 2 of 16 experts), {plain.tokens} tokens; the "
        f"same response without a trace has {plain.num_bytes} bytes. Bodies are not compressed."
    )
    from_arrays = (
        f"Encoded from arrays of {record['tokens']} tokens, experts and scores drawn at random; medians of "
        f"{record['rounds']} runs in processor time, one thread. `arrays` is base64 of `.npy` files; the rest are each "
        "token's id, script, phase, `computed` and `steered` in JSON."
    )
    lines = [
        "## Traces in responses",
        "",
        f"{record['hardware']['processor']}, {record['hardware']['cores']} cores; {versions}; {record['when']}.",
        "",
        over_http,
        "",
        '| `"return": ["tokens"]` with | body, bytes | bytes per token more than without |',
        "|---|---|---|",
    ]
    lines += [
        f"| {row.asked} | {row.num_bytes} | {(row.num_bytes - plain.num_bytes) / row.tokens:.1f} |" for row in traced
    ]
    lines += [
        "",
        from_arrays,
        "",
        "| layers x k (of experts) | with | bytes per token | of them arrays | ms per 1000 tokens |",
        "|---|---|---|---|---|",
    ]
    lines += [_row(Encoding(**row)) for row in record["encodings"]]
    return "\n".join([*lines, ""])


def _row(encoding: Encoding) -> str:
    shape = f"{encoding.layers} x {encoding.top_k} ({encoding.experts})"
    return (
        f"| {shape} | {encoding.asked} | {encoding.bytes_per_token:.1f} | {encoding.array_bytes_per_token:.1f} "
        f"| {encoding.ms_per_1000_tokens:.2f} |"
    )


def ask_server() -> list[Response]:
    """Give the sizes of one response without a trace, and with each kind of it."""
    with _server() as url:
        responses = [_ask(url, "nothing", None)]
        responses += [_ask(url, asked, {"return": ["tokens"], **options}) for asked, options in ASKED.items()]
    return responses


@contextmanager
def _server() -> Iterator[str]:
    # A cached prefix would leave out rows: the sizes are those of whole traces.
    flags = ["--enforce-eager", "--no-enable-prefix-caching"]
    with tempfile.TemporaryDirectory() as name, serving(Path(name), flags) as server:
        yield server.url


def _ask(url: str, asked: str, routing: dict[str, Any] | None) -> Response:
    body = {
        "model": "organism",
        "messages": [{"role": "user", "content": TEXT * 8}],
        "temperature": 0,
        "max_tokens": ANSWER_TOKENS,
        "ignore_eos": True,
        **({"routing": routing} if routing else {}),
    }
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=300).raise_for_status()
    return Response(asked, answer.json()["usage"]["total_tokens"] - 1, len(answer.content))


def encode(shape: tuple[int, int, int], asked: str, labeller: ScriptLabeller) -> Encoding:
    """Encode one trace many times.

    Args:
        shape: Layers, experts, experts per token.
        asked: A key of `ASKED`.
        labeller: Of the tokenizer that the token ids are drawn from.
    """
    layers, experts, top_k = shape
    request = RoutingRequest.model_validate({"return": ["tokens"], **ASKED[asked]})
    trace, report = make_trace(shape, labeller.vocabulary.num_tokens, request), make_report(shape)

    def write() -> bytes:
        if request.format == "vllm":
            return encode_json({"routed_experts": encode_for_vllm(trace, report, prompt_start=0)})
        tokens = describe_tokens(trace, request, model=report.model, labeller=labeller)
        return encode_json(RoutingEcho(tokens=tokens).model_dump(mode="json", exclude_none=True))

    arrays = [trace.ids] if request.format == "vllm" else _arrays(trace, request)
    num_array_bytes = sum(len(ArrayDocument.from_numpy(array).data) for array in arrays)
    return Encoding(
        layers=layers,
        top_k=top_k,
        experts=experts,
        asked=asked,
        bytes_per_token=len(write()) / NUM_TOKENS,
        array_bytes_per_token=num_array_bytes / NUM_TOKENS,
        ms_per_1000_tokens=_median_s(write) * 1e6 / NUM_TOKENS,
    )


def make_trace(shape: tuple[int, int, int], num_ids: int, request: RoutingRequest) -> WorkerTrace:
    """Draw a trace: a fifth of it prompt, the rest answer.

    Args:
        shape: Layers, experts, experts per token.
        num_ids: Tokens of the vocabulary.
        request: What the workers were to keep.
    """
    layers, experts, top_k = shape
    random = np.random.default_rng(0)
    ranked_NLE = random.random((NUM_TOKENS, layers, experts)).argsort(-1).astype(id_dtype(experts))
    scores_NLE = random.dirichlet(np.ones(experts), (NUM_TOKENS, layers)).astype(np.float16)
    is_prompt_N = np.arange(NUM_TOKENS) < NUM_TOKENS // 5
    return WorkerTrace(
        token_ids=random.integers(0, num_ids, NUM_TOKENS, dtype=np.int32),
        phases=np.where(is_prompt_N, PHASES.index("prompt"), PHASES.index("answer")).astype(np.uint8),
        steered=np.zeros(NUM_TOKENS, bool),
        computed=np.ones(NUM_TOKENS, bool),
        ids=ranked_NLE[:, :, :top_k],
        weights=random.random((NUM_TOKENS, layers, top_k)).astype(np.float16),
        runner_up=ranked_NLE[:, :, top_k : 2 * top_k] if request.runner_up else None,
        probabilities=scores_NLE if request.probabilities else None,
    )


def make_report(shape: tuple[int, int, int]) -> EngineReport:
    """Give the report of a made-up model, a router in each of its layers."""
    layers, experts, top_k = shape
    binding = ModelBinding(
        architecture="MadeUp", layers=layers, experts=experts, top_k=top_k, fingerprint="sha256:" + "0" * 64
    )
    routers = tuple(
        RouterDescription(
            layer=layer, model_layer=layer, name=f"layer {layer}", kind="softmax", experts=experts, top_k=top_k
        )
        for layer in range(layers)
    )
    model = ModelDescription(binding=binding, routers=routers)
    return EngineReport(model=model, workers=(), versions={}, num_hidden_layers=layers)


def _arrays(trace: WorkerTrace, request: RoutingRequest) -> list[np.ndarray]:
    wanted = {"weights": request.weights, "runner_up": request.runner_up, "probabilities": request.probabilities}
    return [trace.ids, *(getattr(trace, name) for name, is_wanted in wanted.items() if is_wanted)]


def _median_s(work: Callable[[], Any]) -> float:
    """Give the median of processor time, which other work leaves as it is; the first run compiles and is left out."""
    work()
    times_s = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        work()
        times_s.append(time.thread_time() - started)
    return statistics.median(times_s)
