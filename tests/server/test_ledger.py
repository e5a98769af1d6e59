"""The ledger: what is added is read once and exactly, from SQLite and from PostgreSQL alike."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from polyglyph.contract.errors import ConflictError, RequestError
from polyglyph.contract.plan import PHASES
from polyglyph.contract.sums import COLUMNS, SUMMED, GroupKey, GroupSums, StatsQuery, overflow_key
from polyglyph.server.ledger import Ledger
from polyglyph.server.ledger_facts import TokenLabels
from polyglyph.server.store.store import Store
from tests.server.sums import (
    EXPERTS,
    KEY,
    LAYERS,
    OTHER_MODEL,
    TOP_K,
    key,
    make_ledger,
    num_tokens,
    open_at,
    read,
    sums,
)

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


@pytest.fixture
def store(url: SecretStr | None, tmp_path: Path) -> Iterator[Store]:
    store = open_at(tmp_path, url, busy_timeout_s=30)
    yield store
    store.close()


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return make_ledger(store)


def test_nothing_added_reads_as_nothing(ledger: Ledger):
    ledger.flush()
    assert read(ledger) == {}


def test_what_was_flushed_is_read_exactly(ledger: Ledger):
    added = sums(7, cached=3, seed=1)
    ledger.add([added])
    ledger.flush()
    with ledger.read(StatsQuery()) as snapshot:
        (group,) = snapshot.groups
    assert group.key == KEY
    assert (group.tokens, group.cached_tokens) == (7, 3)
    assert np.array_equal(group.selected_LE, added.selected_LE)
    assert np.array_equal(group.weight_sum_LE, added.weight_sum_LE)
    assert (group.selected_LE.dtype, group.weight_sum_LE.dtype) == (np.int64, np.float64)


def test_flushing_again_and_again_counts_once(ledger: Ledger):
    for count in range(1, 6):
        ledger.add([sums(count)])
        ledger.flush()
        ledger.flush()
    assert num_tokens(ledger) == 15


def test_what_is_added_is_copied(ledger: Ledger):
    group = sums(2)
    ledger.add([group])
    group.selected_LE[...] = 0
    ledger.flush()
    assert num_tokens(ledger) == 2


def test_sums_of_all_runs_add_up(store: Store):
    for tokens in (1, 2, 4):
        run = make_ledger(store)
        run.add([sums(tokens), sums(tokens, key("a"))])
        run.flush()
    assert read(make_ledger(store)) == dict.fromkeys(
        (KEY, key("a")), (7, 0, 7 * TOP_K * LAYERS, 7 * TOP_K * LAYERS / 8)
    )


def test_groups_come_in_the_order_of_their_keys(ledger: Ledger):
    tags = ["b", "", "B", "a.1", "a-1", "a", "Z", "é"]
    ledger.add([sums(1, key(tag, script=script)) for tag in tags for script in ("Latn", "Cyrl")])
    ledger.flush()
    assert list(read(ledger)) == sorted(key(tag, script=script) for tag in tags for script in ("Latn", "Cyrl"))


@pytest.mark.parametrize("by", [(), ("script",), ("phase", "plan"), ("tag", "request_script"), COLUMNS])
def test_columns_that_are_not_asked_for_are_summed_away(ledger: Ledger, by: tuple):
    keys = [
        GroupKey(request_script, script, phase, plan, tag)
        for request_script in ("Latn", "Cyrl")
        for script in ("Latn", "Zyyy")
        for phase in PHASES
        for plan in ("", "sha256:" + "c" * 64)
        for tag in ("", "a")
    ]
    ledger.add([sums(number + 1, k) for number, k in enumerate(keys)])
    ledger.flush()
    expected: dict[GroupKey, int] = {}
    for number, k in enumerate(keys):
        summed = GroupKey(*(value if name in by else SUMMED for name, value in k._asdict().items()))
        expected[summed] = expected.get(summed, 0) + number + 1
    found = read(ledger, by=by)
    assert {k: tokens for k, (tokens, *_) in found.items()} == expected
    assert list(found) == sorted(found)


@pytest.mark.parametrize(("column", "value"), [("script", "Cyrl"), ("tag", ""), ("plan", "nope"), ("phase", "answer")])
def test_a_filter_keeps_what_matches(ledger: Ledger, column: str, value: str):
    keys = [
        key(tag, script=script, phase=phase) for tag in ("", "a") for script in ("Latn", "Cyrl") for phase in PHASES
    ]
    ledger.add([sums(1, k) for k in keys])
    ledger.flush()
    assert set(read(ledger, **{column: value})) == {k for k in keys if getattr(k, column) == value}


def test_since_takes_whole_buckets_that_began_at_or_after_it(store: Store):
    ledger = make_ledger(store, bucket_seconds=60, clock=(NOW - timedelta(hours=1)).timestamp)
    for minute in range(3):
        ledger.add([sums(10**minute)], at=NOW + timedelta(minutes=minute, seconds=30))
        ledger.flush()
    begins = [NOW + timedelta(minutes=minute) for minute in range(4)]
    assert [num_tokens(ledger, since=begin) for begin in begins] == [111, 110, 100, 0]
    assert num_tokens(ledger, since=begins[1] + timedelta(seconds=1)) == 100
    assert num_tokens(ledger, since=datetime(9999, 1, 1, tzinfo=UTC)) == 0


def test_the_first_bucket_begins_when_the_server_did(store: Store):
    ledger = make_ledger(store, clock=NOW.timestamp)
    ledger.add([sums(5)], at=NOW + timedelta(minutes=1))
    ledger.flush()
    assert num_tokens(ledger, since=NOW) == 5


def test_the_header_says_what_the_sums_are_of(store: Store):
    ledger = make_ledger(store, clock=NOW.timestamp)
    ledger.add([sums(1)])
    ledger.flush()
    with ledger.read(StatsQuery(by=("phase",))) as snapshot:
        header = snapshot.header
    assert (header.layers, header.experts, header.top_k, header.by) == (LAYERS, EXPERTS, TOP_K, ("phase",))
    assert header.until == NOW.isoformat()
    assert header.versions == {"polyglyph": "test"}


def test_a_clock_that_is_set_back_loses_nothing(store: Store):
    ledger = make_ledger(store, bucket_seconds=60, clock=(NOW - timedelta(hours=1)).timestamp)
    for minutes in (5, 0, 7, 3, 7):
        ledger.add([sums(1)], at=NOW + timedelta(minutes=minutes))
        ledger.flush()
    assert num_tokens(ledger) == 5


def test_a_reset_begins_from_zero_with_what_is_in_memory_too(ledger: Ledger):
    ledger.add([sums(3)])
    ledger.flush()
    ledger.add([sums(4)])
    ledger.reset()
    assert read(ledger) == {}
    ledger.flush()
    assert read(ledger) == {}
    ledger.add([sums(2)])
    ledger.flush()
    assert num_tokens(ledger) == 2


def test_another_server_notices_a_reset_and_keeps_only_what_it_had_not_flushed(store: Store):
    one, other = make_ledger(store), make_ledger(store)
    other.add([sums(10), sums(20, key("b"))])
    other.flush()
    other.add([sums(1)])
    one.reset()
    other.flush()
    assert read(other) == {KEY: (1, 0, TOP_K * LAYERS, TOP_K * LAYERS / 8)}
    other.add([sums(2), sums(3, key("b"))])
    other.flush()
    assert num_tokens(one) == 6


def test_a_server_with_nothing_to_flush_notices_a_reset_too(store: Store):
    one, other = make_ledger(store), make_ledger(store)
    other.add([sums(10)])
    other.flush()
    one.reset()
    other.flush()
    other.add([sums(1)])
    other.flush()
    assert num_tokens(one) == 1


def test_models_share_a_store_and_see_only_their_own_sums(store: Store):
    ours, theirs = make_ledger(store), make_ledger(store, model=OTHER_MODEL)
    ours.add([sums(1)])
    theirs.add([sums(2)])
    ours.flush()
    theirs.flush()
    assert (num_tokens(ours), num_tokens(theirs)) == (1, 2)
    ours.reset()
    assert (num_tokens(ours), num_tokens(theirs)) == (0, 2)


def test_groups_beyond_the_limit_are_counted_in_the_overflow(store: Store):
    ledger = make_ledger(store, max_groups=8)
    for number in range(20):
        ledger.add([sums(1, key(f"t{number}"))])
    ledger.flush()
    found = read(ledger)
    assert found[overflow_key("prompt")][0] == 14
    assert len(found) == 7
    assert num_tokens(ledger) == 20
    assert ledger.facts().overflow_tokens == 14


def test_tags_and_plans_leave_room_for_plain_groups(store: Store):
    ledger = make_ledger(store, max_groups=8)
    ledger.add([sums(1, key(f"t{number}")) for number in range(20)])
    ledger.add([sums(1, key(script=script)) for script in ("Cyrl", "Deva")])
    ledger.flush()
    assert {key(script="Cyrl"), key(script="Deva")} <= set(read(ledger))


def test_every_bucket_has_the_whole_limit(store: Store):
    ledger = make_ledger(store, max_groups=8, bucket_seconds=60)
    for minute in range(3):
        at = datetime.now(UTC) + timedelta(minutes=minute)
        ledger.add([sums(1, key(f"{minute}-{number}")) for number in range(6)], at=at)
        ledger.flush()
    assert ledger.facts().overflow_tokens == 0
    assert len(read(ledger)) == 18


@pytest.mark.parametrize("tag", ["\ud800", "a\0b"], ids=["lone surrogate", "null"])
def test_a_label_that_no_database_holds_cannot_block_the_others(ledger: Ledger, tag: str):
    ledger.add([sums(1, key(tag)), sums(2)])
    ledger.flush()
    assert {k: tokens for k, (tokens, *_) in read(ledger).items()} == {KEY: 2, overflow_key("prompt"): 1}


def test_facts_count_since_the_start_whatever_the_store_does(ledger: Ledger):
    ledger.add([sums(3, cached=2, seed=1), sums(4, key(plan="sha256:" + "c" * 64), seed=2)])
    ledger.reset()
    ledger.add([sums(5, seed=3)])
    facts = ledger.facts()
    plain, steered = (TokenLabels("Latn", "Latn", "prompt", is_steered) for is_steered in (False, True))
    assert dict(facts.tokens) == {plain: 8, steered: 4}
    assert facts.cached_tokens[plain] == 2
    expected = sums(3, seed=1).selected_LE + sums(4, seed=2).selected_LE + sums(5, seed=3).selected_LE
    assert np.array_equal(facts.selected_LE, expected)
    assert np.array_equal(facts.weight_sum_LE, expected / 8)
    assert (facts.unflushed_groups, facts.is_store_up, facts.store_errors) == (1, True, 0)


def test_imported_sums_are_added_once(store: Store):
    ledger = make_ledger(store)
    ledger.add([sums(1)])
    ledger.flush()
    file = [sums(10), sums(20, key("a"))]
    ledger.import_sums(file, sha256="f" * 64, since=NOW)
    with pytest.raises(ConflictError, match="imported already"):
        make_ledger(store).import_sums(file, sha256="f" * 64, since=NOW)
    ledger.import_sums(file, sha256="e" * 64, since=NOW)
    assert {k.tag: tokens for k, (tokens, *_) in read(ledger).items()} == {"": 21, "a": 40}
    with ledger.read(StatsQuery()) as snapshot:
        assert snapshot.header.since == NOW.isoformat()


def test_a_reset_forgets_imports(ledger: Ledger):
    ledger.import_sums([sums(10)], sha256="f" * 64, since=NOW)
    ledger.reset()
    ledger.import_sums([sums(10)], sha256="f" * 64, since=NOW)
    assert num_tokens(ledger) == 10


@pytest.mark.parametrize(
    "wrong",
    [
        sums(1, KEY),
        sums(1, key(phase=SUMMED)),
        sums(1, key("\ud800")),
        GroupSums(
            key=key("b"),
            tokens=1,
            cached_tokens=0,
            selected_LE=np.zeros((1, 1), np.int64),
            weight_sum_LE=np.zeros((1, 1)),
        ),
    ],
    ids=["twice", "summed away", "surrogate", "shape"],
)
def test_an_import_that_is_wrong_anywhere_adds_nothing(ledger: Ledger, wrong: GroupSums):
    many = [sums(1, key(f"t{number}")) for number in range(100)]
    with pytest.raises(RequestError):
        ledger.import_sums([sums(1), *many, wrong], sha256="f" * 64, since=NOW)
    assert read(ledger) == {}
    ledger.import_sums([sums(1)], sha256="f" * 64, since=NOW)
    assert num_tokens(ledger) == 1


def test_a_snapshot_that_is_read_slowly_holds_nobody_up_and_stays_what_it_was(store: Store):
    ledger = make_ledger(store)
    ledger.add([sums(1, key(f"t{number:03}")) for number in range(200)])
    ledger.flush()
    with ledger.read(StatsQuery()) as snapshot:
        first = next(snapshot.groups)
        ledger.reset()
        ledger.add([sums(5)])
        ledger.flush()
        assert first.tokens + sum(group.tokens for group in snapshot.groups) == 200
    assert num_tokens(ledger) == 5


def test_readers_see_whole_flushes_only(store: Store):
    ledger = make_ledger(store)
    is_over = threading.Event()

    def write() -> None:
        for _ in range(60):
            ledger.add([sums(1, key(tag)) for tag in ("a", "b", "c")])
            ledger.flush()
        is_over.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not is_over.is_set():
        assert len({tokens for tokens, *_ in read(ledger).values()}) <= 1
    writer.join()
    assert num_tokens(ledger) == 180


def test_several_writers_lose_nothing_and_count_nothing_twice(url: SecretStr | None, tmp_path: Path):
    def serve() -> None:
        store = open_at(tmp_path, url, busy_timeout_s=30)
        run = make_ledger(store)
        for number in range(30):
            run.add([sums(1), sums(1, key(f"t{number}"))])
            run.flush()
        store.close()

    writers = [threading.Thread(target=serve) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    ledger = make_ledger(open_at(tmp_path, url))
    assert num_tokens(ledger) == 4 * 60
    assert read(ledger)[KEY][0] == 4 * 30


def test_a_reset_while_others_flush_leaves_only_what_came_after(store: Store):
    writer, resetter = make_ledger(store), make_ledger(store)
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            writer.add([sums(1, key("a")), sums(1, key("b"))])
            writer.flush()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(20):
            resetter.reset()
    finally:
        is_over.set()
        thread.join()
    resetter.reset()
    writer.flush()
    assert read(writer) == {}
    writer.add([sums(7)])
    writer.flush()
    assert num_tokens(writer) == 7


def test_adding_from_many_threads_while_flushing_is_exact(ledger: Ledger):
    def count() -> None:
        for _ in range(200):
            ledger.add([sums(1)])

    counters = [threading.Thread(target=count) for _ in range(4)]
    for counter in counters:
        counter.start()
    while any(counter.is_alive() for counter in counters):
        ledger.flush()
    ledger.flush()
    assert num_tokens(ledger) == 800
