"""Where a step's time goes: the parts of Polyglyph that a worker runs, each timed inside a real engine.

What is cold in an engine is warm in a loop: between two layers and two steps the model has the caches to itself, and
the same lines take three to five times as long as they do when only they are run.
"""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.arms import ARMS
from benchmarks.environment import describe, environment_record
from benchmarks.worker import MAX_REQUESTS, NUM_TOKENS, Worker

ARMS_TIMED = ("stats", "steered + stats")
BATCH_SIZES = (1, 64)
ROUNDS = 15
PARTS = ("add", "begin_step", "route", "end_step", "finish")
WHOLE = "execute_model"
EXPLANATION = (
    "Microseconds of the worker's own process, a timer's microsecond included. `add`, `finish`: requests that start "
    "and end. `begin_step`: annotate. `route`: all layers. `end_step`: label_scripts and tally. `execute_model`: "
    "vLLM's forward pass with what is in it of the others. Not in here: the operator's way from compiled code to "
    "Python, and what goes on outside the worker."
)
_spent: dict[str, float] = {}
"""Seconds by part, in the worker."""


def run() -> dict[str, Any]:
    """Time every part.

    Returns:
        The record: microseconds per step by number of requests, arm and part, versions and hardware.
    """
    # A function as an RPC: only here, where both ends are ours.
    os.environ |= {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1", "POLYGLYPH_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    os.environ |= {"VLLM_PLUGINS": "polyglyph", "VLLM_CPU_OMP_THREADS_BIND": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    # vLLM's worker falls over Numba in a process that it starts from, and the other benchmarks leave it here.
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
    llm = Worker.start(enforce_eager=False)
    worker = Worker(llm)
    worker.measure(ARMS["stats"], MAX_REQUESTS)
    llm.collective_rpc(install_timers)
    steps: dict[int, dict[str, dict[str, float]]] = {size: {} for size in BATCH_SIZES}
    for size in BATCH_SIZES:
        for arm in ARMS_TIMED:
            samples = [_measure(worker, llm, arm, size) for _ in range(ROUNDS)]
            steps[size][arm] = {
                part: statistics.median(sample[part] for sample in samples) for part in (*PARTS, WHOLE, "step")
            }
    return {"benchmark": "steps", "us_per_step": steps, "explanation": EXPLANATION, **environment_record()}


def to_markdown(record: dict[str, Any]) -> str:
    """Write the record as a table."""
    lines = [
        "## Steps",
        "",
        f"{NUM_TOKENS} tokens a request, compiled; medians of {ROUNDS} batches. {describe(record)}",
        "",
        record["explanation"],
        "",
        f"| requests | arm | {' | '.join(PARTS)} | together | {WHOLE} | whole step | share |",
        "|---" * (len(PARTS) + 6) + "|",
    ]
    for size, by_arm in record["us_per_step"].items():
        for arm, us in by_arm.items():
            together = sum(us[part] for part in PARTS)
            cells = [f"{us[part]:.0f}" for part in PARTS]
            cells += [f"{together:.0f}", f"{us[WHOLE]:.0f}", f"{us['step']:.0f}", f"{together / us['step']:.1%}"]
            lines.append(f"| {size} | {arm} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def install_timers(worker: Any) -> None:
    """Wrap what is timed; runs in the worker."""
    from polyglyph.routing.compat.runner import tracker_of

    tracker = tracker_of(worker.model_runner)
    assert tracker is not None
    owners = dict.fromkeys(PARTS, tracker) | {"route": tracker.layers, WHOLE: worker.model_runner}
    for name, owner in owners.items():
        setattr(owner, name, _timed(name, getattr(owner, name)))


def take_times(_: Any) -> dict[str, float]:
    """Give the seconds spent since the last call; runs in the worker."""
    spent = dict(_spent)
    _spent.clear()
    return spent


def _timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            _spent[name] = _spent.get(name, 0.0) + time.perf_counter() - started

    return timed


def _measure(worker: Worker, llm: Any, arm: str, size: int) -> dict[str, float]:
    llm.collective_rpc(take_times)
    seconds = worker.measure(ARMS[arm], size)["seconds"]
    (spent,) = llm.collective_rpc(take_times)
    spent["step"] = seconds
    return {name: spent.get(name, 0.0) / NUM_TOKENS * 1e6 for name in (*PARTS, WHOLE, "step")}
