"""Ways to start vLLM that cannot be steered, refused before the engine starts."""

import os
from argparse import Namespace

from polyglyph.contract.errors import StartupError, UnsupportedModelError


def check_arguments(args: Namespace) -> None:
    """Refuse arguments of vLLM under which requests would escape steering or stats.

    Raises:
        StartupError: Names the argument and what to do.
    """
    if (count := getattr(args, "api_server_count", None) or 1) > 1:
        raise StartupError(
            f"--api-server-count {count}: each API server would have plans and stats of its own; use 1 and, for more "
            "throughput, more servers behind a load balancer"
        )
    if (size := getattr(args, "data_parallel_size", None) or 1) > 1:
        raise StartupError(
            f"--data-parallel-size {size}: stats and receipts are read from one engine only; start one server per "
            "replica behind a load balancer"
        )
    for flag in ("headless", "grpc"):
        if getattr(args, flag, False):
            raise StartupError(f"--{flag}: steering needs the HTTP server in this process; leave the flag out")
    if os.environ.get("VLLM_USE_RUST_FRONTEND", "0").lower() not in {"", "0", "false"}:
        raise StartupError("VLLM_USE_RUST_FRONTEND: the Rust front end skips Python plugins; unset the variable")


def check_has_experts(num_experts: int, *, model: str) -> None:
    """Refuse a model without a router.

    Raises:
        UnsupportedModelError: Names the model.
    """
    if num_experts < 1:
        raise UnsupportedModelError(
            f"{model} is a dense model: its configuration names no experts, so there is no routing to steer or read; "
            "serve a Mixture-of-Experts model"
        )
