"""The service's life beside the app's: it flushes while the app serves, and a last time when the app ends."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def with_service(lifespan: Lifespan) -> Lifespan:
    """Give a lifespan within which the app's service runs.

    Args:
        lifespan: The app's own, which forgets the app's state when it ends.
    """

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[Any]:
        async with lifespan(app) as state:
            service = app.state.polyglyph
            service.start()
            try:
                yield state
            finally:
                await service.stop()

    return run
