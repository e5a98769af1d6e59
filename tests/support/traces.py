"""Made-up traces, as the engine gives them."""

from typing import Any

import numpy as np

from polyglyph.contract.trace import SequenceTrace, TraceHeader


def trace_header(*, layers: int = 3, experts: int = 16, top_k: int = 2, fingerprint: str = "a") -> TraceHeader:
    return TraceHeader(
        schema="polyglyph.trace/1",
        model_fingerprint=f"sha256:{fingerprint * 64}",
        layers=layers,
        experts=experts,
        top_k=top_k,
        versions={"polyglyph": "0.1.0", "vllm": "0.32.0"},
    )


def make_trace(num_tokens: int, header: TraceHeader, *, seed: int = 0, **changes: Any) -> SequenceTrace:
    """Give a sequence whose first tokens came from the prefix cache and whose last layer selects one expert less."""
    random = np.random.default_rng(seed)
    shape = (num_tokens, header.layers, header.top_k)
    dtype = np.dtype(np.uint8 if header.experts <= 255 else np.uint16)
    ranking = random.permuted(np.tile(np.arange(header.experts), (*shape[:2], 1)), axis=-1)
    computed = np.arange(num_tokens) >= num_tokens // 3
    is_known = np.tile(computed[:, None, None], (1, *shape[1:]))
    if header.top_k > 1:
        is_known[:, -1, -1] = False
    weights = random.random(shape).astype(np.float16)
    fields: dict[str, Any] = {
        "request_id": f"chatcmpl-{seed}",
        "sequence": seed % 3,
        "tag": "exp-a",
        "plan": "",
        "request_script": "Cyrl",
        "scripts": tuple(random.choice(["Cyrl", "Latn", "Zyyy"], num_tokens).tolist()),
        "token_ids": random.integers(0, 200_000, num_tokens, dtype=np.int32),
        "phases": np.sort(random.integers(0, 3, num_tokens, dtype=np.uint8)),
        "steered": random.random(num_tokens) < 0.5,
        "computed": computed,
        "ids": np.where(is_known, ranking[..., : header.top_k], np.iinfo(dtype).max).astype(dtype),
        "weights": np.where(is_known, weights, 0).astype(np.float16),
    }
    return SequenceTrace(**(fields | changes))


def differences(one: SequenceTrace, other: SequenceTrace) -> list[str]:
    """Name the fields in which two traces are not the same."""
    names = SequenceTrace.__dataclass_fields__
    return [name for name in names if not _is_same(getattr(one, name), getattr(other, name))]


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)
