"""Whatever is added, flushed, refused, crashed, reopened and reset, in any order: the store's sums are exact."""

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import Connection

from polyglyph.contract.errors import StorageError, StorageUnavailableError
from polyglyph.contract.sums import GroupKey
from polyglyph.server.ledger import Ledger
from polyglyph.server.store.store import Store
from tests.server.sums import key, make_ledger, open_at, read, sums

# Few, so that the same group is met again after a reset and a crash.
KEYS = st.sampled_from([key(""), key("a")])
SERVERS = st.integers(0, 1)
START = 1_700_000_000
BUCKET_S = 60


class ForgetfulStore(Store):
    """Loses the connection while a commit is confirmed: the change is made, and the writer hears of an error."""

    loses_confirmation = False

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
        if self.loses_confirmation:
            raise StorageUnavailableError("the connection was lost")


@dataclass
class Server:
    """A ledger, beside a model of it.

    Attributes:
        written: What the store holds of this run.
        flushed: What of it was acknowledged.
        waiting: What was not.
    """

    ledger: Ledger
    written: Counter[GroupKey] = field(default_factory=Counter)
    flushed: Counter[GroupKey] = field(default_factory=Counter)
    waiting: Counter[GroupKey] = field(default_factory=Counter)

    @contextmanager
    def losing_confirmation(self) -> Iterator[None]:
        store = self.ledger._store
        assert isinstance(store, ForgetfulStore)
        store.loses_confirmation = True
        with suppress(StorageError):
            yield
        store.loses_confirmation = False


class TwoServers(RuleBasedStateMachine):
    """Two servers on one store; `left` is what runs that crashed had written."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = START
        self.left: Counter[GroupKey] = Counter()
        self.servers = [Server(self._open()), Server(self._open())]
        self.reader = self._open()

    def _open(self) -> Ledger:
        store = open_at(self.folder, busy_timeout_s=0)
        store.__class__ = ForgetfulStore
        return make_ledger(store, bucket_seconds=BUCKET_S, clock=lambda: self.now)

    @rule(number=SERVERS, tokens=st.integers(1, 5), group=KEYS)
    def add(self, number: int, tokens: int, group: GroupKey) -> None:
        server = self.servers[number]
        server.ledger.add([sums(tokens, group)])
        server.waiting[group] += tokens

    @rule(number=SERVERS)
    def flush(self, number: int) -> None:
        server = self.servers[number]
        server.ledger.flush()
        server.written = server.flushed = server.flushed + server.waiting
        server.waiting = Counter()

    @rule(number=SERVERS, times=st.integers(1, 4), group=KEYS)
    def serve(self, number: int, times: int, group: GroupKey) -> None:
        for _ in range(times):
            self.add(number=number, tokens=1, group=group)
            self.flush(number=number)

    @rule(number=SERVERS)
    def flush_while_locked(self, number: int) -> None:
        holder = sqlite3.connect(self.folder / "polyglyph.sqlite3", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        with suppress(StorageError):
            self.servers[number].ledger.flush()
        holder.close()

    @rule(number=SERVERS)
    def flush_unconfirmed(self, number: int) -> None:
        server = self.servers[number]
        with server.losing_confirmation():
            server.ledger.flush()
        server.written = server.flushed + server.waiting

    @rule(number=SERVERS)
    def crash(self, number: int) -> None:
        crashed = self.servers[number]
        crashed.ledger._store.close()
        self.left += crashed.written
        self.servers[number] = Server(self._open())

    @rule(number=SERVERS)
    def reset(self, number: int) -> None:
        self.servers[number].ledger.reset()
        self.servers[number].waiting = Counter()
        self._forget()

    @rule(number=SERVERS)
    def reset_unconfirmed(self, number: int) -> None:
        with self.servers[number].losing_confirmation():
            self.servers[number].ledger.reset()
        self._forget()

    @rule(seconds=st.sampled_from([-30, 1, 30, 200]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def the_store_holds_exactly_what_was_written(self) -> None:
        found = {group: tokens for group, (tokens, *_) in read(self.reader).items() if tokens}
        assert found == dict(+sum((server.written for server in self.servers), self.left))

    @invariant()
    def each_server_knows_what_the_store_has_not_acknowledged(self) -> None:
        for server in self.servers:
            assert not +server.waiting or server.ledger.facts().unflushed_groups

    def _forget(self) -> None:
        self.left = Counter()
        for server in self.servers:
            server.written, server.flushed = Counter(), Counter()

    def teardown(self) -> None:
        for ledger in (*(server.ledger for server in self.servers), self.reader):
            ledger._store.close()
        shutil.rmtree(self.folder)


TestTwoServers = TwoServers.TestCase
TestTwoServers.settings = settings(max_examples=40, stateful_step_count=40)
