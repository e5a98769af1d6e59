"""A last word with the engine before the server ends it.

Written for vLLM 0.32 and 0.33; leans on `v1.engine.async_llm.AsyncLLM.shutdown`, which
`entrypoints/launchers/launcher.py: serve_http` calls in a thread when a signal ends the server, before the HTTP
server itself stops.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from typing import Any

LAST_WORD_TIMEOUT_S = 10.0
logger = logging.getLogger("vllm.polyglyph")


def before_shutdown(engine_client: Any, finish: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run something while the engine still answers.

    Args:
        engine_client: vLLM's client of one engine; its `shutdown` is wrapped.
        finish: What to run; a failure is logged and does not keep the engine from ending.
    """
    loop = asyncio.get_running_loop()
    original = engine_client.shutdown

    def shutdown(*args: Any, **kwargs: Any) -> Any:
        if not _runs_a_loop():
            future = asyncio.run_coroutine_threadsafe(finish(), loop)
            wait([future], timeout=LAST_WORD_TIMEOUT_S)
            if not future.done():
                logger.warning("The engine ends before its last sums were read: out of time")
            elif not future.cancelled() and (error := future.exception()) is not None:
                logger.warning("The engine ends before its last sums were stored: %s", error or type(error).__name__)
        return original(*args, **kwargs)

    engine_client.shutdown = shutdown


def _runs_a_loop() -> bool:
    """Whether this thread is an event loop's, which must not wait for itself (vLLM's second call, at the very end)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
