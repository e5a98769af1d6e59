"""How fast traces are written and read, and how large they are: `python -m benchmarks.trace_files`."""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyglyph.contract.trace import SequenceTrace, TraceHeader
from polyglyph.contract.trace_reading import read_traces
from polyglyph.server.metrics import Metrics
from polyglyph.server.trace_files import TraceWriter

SHAPES = ((6, 16, 2, 500), (48, 128, 8, 60))
"""Layers, experts, experts per token, and sequences of 400 tokens each."""

NUM_TOKENS = 400
ROUNDS = 7


@dataclass(frozen=True)
class Timing:
    """One shape's seconds of processor time, which other work leaves as it is, and the size on disk."""

    write_s: list[float]
    read_s: list[float]
    num_bytes: int


def main() -> None:
    """Print a row for each shape of model, with and without weights."""
    print("| layers x k | weights | rows written | tokens written | rows read | bytes per token |")
    print("|---|---|---|---|---|---|")
    for layers, experts, top_k, num_sequences in SHAPES:
        header = TraceHeader(
            schema="polyglyph.trace/1", model_fingerprint="", layers=layers, experts=experts, top_k=top_k, versions={}
        )
        for has_weights in (True, False):
            traces = [make_trace(header, seed=seed, has_weights=has_weights) for seed in range(num_sequences)]
            timing = measure(traces, header)
            write_s, read_s = statistics.median(timing.write_s), statistics.median(timing.read_s)
            num_rows, num_tokens = sum(trace.num_rows for trace in traces), num_sequences * NUM_TOKENS
            rates = (num_rows / write_s / 1e6, num_tokens / write_s / 1e3, num_rows / read_s / 1e6)
            written, tokens, read = (f"{rate:.1f}" for rate in rates)
            size = f"{timing.num_bytes / num_tokens:.0f}"
            shape, weights = f"{layers} x {top_k}", "yes" if has_weights else "no"
            print(f"| {shape} | {weights} | {written} M/s | {tokens} k/s | {read} M/s | {size} |")


def measure(traces: list[SequenceTrace], header: TraceHeader) -> Timing:
    """Write the traces to a fresh folder and read them, several times."""
    timing = Timing([], [], 0)
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            writer = TraceWriter(folder, header, metrics=Metrics(), flush_seconds=3600, max_bytes=1 << 31)
            for trace in traces:
                writer.add(trace)
            start = time.process_time()
            writer.flush()
            timing.write_s.append(time.process_time() - start)
            writer.close()
            size = sum(path.stat().st_size for path in folder.iterdir())
            start = time.process_time()
            for _ in read_traces(folder):
                pass
            timing.read_s.append(time.process_time() - start)
            timing = Timing(timing.write_s, timing.read_s, size)
    return timing


def make_trace(header: TraceHeader, *, seed: int, has_weights: bool) -> SequenceTrace:
    """Give a sequence whose experts are drawn by a fixed log-normal popularity of each layer, softmax weights."""
    random = np.random.default_rng(seed)
    popularity_LE = np.random.default_rng(99).normal(size=(header.layers, header.experts))
    logits = popularity_LE + random.gumbel(size=(NUM_TOKENS, header.layers, header.experts))
    ids = np.argsort(-logits, axis=-1)[..., : header.top_k]
    weights = np.exp(np.take_along_axis(logits, ids, -1))
    weights /= weights.sum(-1, keepdims=True)
    return SequenceTrace(
        request_id=f"chatcmpl-{seed:032x}",
        request_script="Cyrl",
        scripts=tuple(random.choice(["Cyrl", "Latn", "Zyyy"], NUM_TOKENS).tolist()),
        token_ids=random.integers(0, 150_000, NUM_TOKENS, dtype=np.int32),
        phases=np.sort(random.integers(0, 3, NUM_TOKENS, dtype=np.uint8)),
        steered=np.zeros(NUM_TOKENS, np.bool_),
        computed=np.ones(NUM_TOKENS, np.bool_),
        ids=ids.astype(np.uint8),
        weights=weights.astype(np.float16) if has_weights else None,
    )


if __name__ == "__main__":
    main()
