"""Loaded by vLLM in every process: puts the hooks in place."""

import logging
import os

from polyglyph.contract.errors import StartupError
from polyglyph.routing.compat.cpu_amx import init_amx

logger = logging.getLogger("vllm.polyglyph")


def load() -> None:
    """Patch vLLM, once per process; `POLYGLYPH_DISABLE=1` leaves vLLM untouched.

    vLLM logs and skips a plugin that raises, and would serve unsteered: the server therefore asks every worker for its
    hooks before it serves (`routing.workers.Workers.report`).

    Raises:
        UnsupportedVllmError: A release that these hooks were not written for.
    """
    # Also where Polyglyph is off: it is a request to the kernel and no change of vLLM, and the plain server that
    # `polyglyph verify` compares with would die without it.
    init_amx()
    if os.environ.get("POLYGLYPH_DISABLE") == "1":
        return
    from polyglyph.routing.compat.versions import check_vllm_version

    try:
        check_vllm_version()
        _patch()
    except StartupError as error:
        logger.critical("Polyglyph is not in place: %s", error)
        raise


def _patch() -> None:
    # The order does not matter: every patch wraps a symbol of its own.
    from polyglyph.routing.compat.block_hash import patch_block_hash
    from polyglyph.routing.compat.compile_cache import patch_compile_cache
    from polyglyph.routing.compat.input_processor import patch_input_processor
    from polyglyph.routing.compat.monolithic import patch_kernel_choice
    from polyglyph.routing.compat.router_weights import patch_model_loader
    from polyglyph.routing.compat.runner_v1 import patch_runner_v1
    from polyglyph.routing.compat.runner_v2 import patch_runner_v2
    from polyglyph.routing.compat.worker import patch_workers

    patch_kernel_choice()
    patch_compile_cache()
    patch_model_loader()
    patch_workers()
    patch_runner_v1()
    patch_runner_v2()
    patch_input_processor()
    patch_block_hash()
