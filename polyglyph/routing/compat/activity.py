"""Whether the engine has had anything to do: asking its workers keeps them from going to sleep.

Written for vLLM 0.32 and 0.33; leans on `v1.engine.async_llm.AsyncLLM.output_processor`, its `add_request` and
`has_unfinished_requests`. After each call a worker spins for a second before it sleeps
(`distributed/device_communicators/shm_broadcast.py`), so a call every second would take a whole core of an idle server.
"""

from typing import Any


class EngineActivity:
    """Follows the requests that go to an engine.

    Args:
        engine_client: vLLM's client of one engine; `add_request` of its output processor is wrapped.
    """

    def __init__(self, engine_client: Any) -> None:
        self._processor = engine_client.output_processor
        self._num_quiet = 0
        original = self._processor.add_request

        def add_request(*args: Any, **kwargs: Any) -> Any:
            self._num_quiet = 0
            return original(*args, **kwargs)

        self._processor.add_request = add_request

    def is_idle(self) -> bool:
        """Whether no request has run for two of these questions: workers hear of a request's end a moment later."""
        self._num_quiet = 0 if self._processor.has_unfinished_requests() else self._num_quiet + 1
        return self._num_quiet > 2
