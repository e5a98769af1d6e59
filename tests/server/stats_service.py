"""What the stats routes need of a service: a real registry and ledger over a real store, and an engine that waits."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from polyglyph.contract.errors import RequestError
from polyglyph.contract.sums import GroupSums
from polyglyph.routing.reports import EngineReport
from polyglyph.server import stats_routes, steering_routes
from polyglyph.server.exports import Exports
from polyglyph.server.ledger import Ledger
from polyglyph.server.plans import PlanRegistry
from polyglyph.server.refusals import answer_refusal
from polyglyph.server.settings import Settings
from polyglyph.server.store.address import address_of
from polyglyph.server.store.store import open_store
from tests.server.fakes import BINDING, REPORT


@dataclass
class StatsService:
    """Counts what `engine` holds when it is flushed."""

    settings: Settings
    plans: PlanRegistry
    ledger: Ledger
    exports: Exports = field(default_factory=Exports)
    report: EngineReport = REPORT
    engine: list[GroupSums] = field(default_factory=list)

    async def flush(self) -> None:
        counted, self.engine = self.engine, []
        self.ledger.add(counted)
        await asyncio.to_thread(self.ledger.flush)

    async def reset_stats(self) -> None:
        await self.flush()
        await asyncio.to_thread(self.ledger.reset)

    async def import_stats(self, groups: Sequence[GroupSums], *, sha256: str, since: datetime) -> None:
        await asyncio.to_thread(self.ledger.import_sums, groups, sha256=sha256, since=since)


def open_service(folder: Path, settings: Settings, *, clock: Callable[[], float] = time.time) -> StatsService:
    store = open_store(address_of(data_dir=folder, store_url=None))
    plans = PlanRegistry(store, folder=folder / "plans", builtin_folder=folder / "none", loaded=BINDING)
    ledger = Ledger(store, BINDING, versions={"polyglyph": "0.1.0"}, clock=clock)
    return StatsService(settings=settings, plans=plans, ledger=ledger)


def make_app(service: StatsService) -> FastAPI:
    app = FastAPI()
    app.include_router(stats_routes.router)
    app.include_router(steering_routes.router)
    app.add_exception_handler(RequestError, answer_refusal)
    app.state.polyglyph = service
    return app


@contextmanager
def listening(app: FastAPI) -> Iterator[tuple[str, int]]:
    """Serve an app on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join()
