"""Throughput of Polyglyph idle, keeping stats, tracing and steering, each time right beside plain vLLM's."""

import json
import subprocess
import sys
from typing import Any

from benchmarks.arms import ARMS, EXPLANATION, PLAIN
from benchmarks.environment import describe, environment_record
from benchmarks.pairs import measure_pairs, num_rounds, to_lines
from benchmarks.processes import Group
from benchmarks.worker import NUM_TOKENS

BATCH_SIZES = (1, 8, 64)


class EngineProcess:
    """A `benchmarks.worker` that this process drives."""

    def __init__(self, mode: str, environment: dict[str, str]) -> None:
        # One core for the model, the other for the engine's own process: together on one they hide every difference.
        settings = {"VLLM_PLUGINS": "polyglyph", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "1"}
        self._group = Group(
            [sys.executable, "-m", "benchmarks.worker", mode],
            {"VLLM_LOGGING_LEVEL": "ERROR", **settings, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.startup_s = float(self._read()["startup_s"])
        self._group.stop()

    def measure(self, arm: str, num_requests: int) -> float:
        """Give the arm's throughput in tokens per second."""
        with self._group.running():
            print(json.dumps({"arm": arm, "num_requests": num_requests}), file=self._group.process.stdin, flush=True)
            answer = self._read()
        return float(answer["tokens"] / answer["seconds"])

    def close(self) -> None:
        """End the engine."""
        self._group.end()

    def _read(self) -> dict[str, Any]:
        assert self._group.process.stdout is not None
        for line in self._group.process.stdout:
            if line.startswith("@"):
                answer: dict[str, Any] = json.loads(line[1:])
                return answer
        raise RuntimeError("an engine ended before it answered; its error is above")


def run(mode: str, *, rounds: int) -> dict[str, Any]:
    """Measure all arms.

    Args:
        mode: `eager` or `compiled`.
        rounds: How often each arm is measured.

    Returns:
        The record: pairs of (plain, arm) in tokens per second by batch size and arm, start-up times, versions and
        hardware.
    """
    settings = {json.dumps(arm.environment, sort_keys=True): arm.environment for arm in ARMS.values()}
    engines: dict[str, EngineProcess] = {}

    def measure(arm: str, size: int) -> float:
        return engines[json.dumps(ARMS[arm].environment, sort_keys=True)].measure(arm, size)

    try:
        for key, environment in settings.items():
            print(f"starting an engine with {environment}", file=sys.stderr, flush=True)
            engines[key] = EngineProcess(mode, environment)
        arms = [arm for arm in ARMS if arm != PLAIN]
        pairs = measure_pairs(BATCH_SIZES, arms, measure, plain=PLAIN, rounds=rounds)
    finally:
        for engine in engines.values():
            engine.close()
    return {
        "benchmark": "throughput",
        "mode": mode,
        "workload": f"batches of {', '.join(map(str, BATCH_SIZES))} requests x {NUM_TOKENS} tokens",
        "pairs": pairs,
        "explanation": EXPLANATION,
        "startup_s": {key: engine.startup_s for key, engine in engines.items()},
        **environment_record(),
    }


def to_markdown(record: dict[str, Any]) -> str:
    """Write the record as a table."""
    seconds = ", ".join(f"{key} {value:.0f} s" for key, value in record["startup_s"].items())
    lines = [
        f"## Throughput, {record['mode']}",
        "",
        f"{record['workload']}; {num_rounds(record)} rounds, shuffled, plain vLLM beside each arm. {describe(record)}",
        "",
        record["explanation"],
        "",
        *to_lines(record["pairs"], unit="tokens/s"),
        "",
        f"Start of the engine, with its first batch behind it: {seconds}.",
        "",
    ]
    return "\n".join(lines)
