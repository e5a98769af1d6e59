"""Every token that is new and stays is counted once, where it belongs: against a plain oracle, step after step."""

from collections import Counter
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.contract.plan import PHASES
from polyglyph.kernels.annotate import TokenNotes
from polyglyph.kernels.tally import NO_SUMMARY, Account, IntervalSums, Sums, TallyStep, TokenLog

L, E, K = 3, 5, 2
NUM_ROWS, NUM_GROUPS, NUM_SCRIPTS = 5, 3, 4
MAX_TOKENS, PADDING = 24, 4
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
IMPLEMENTATIONS = ["reference", *(["cpu"] if DEVICE.type == "cpu" else [])]
NUM_PHASES = len(PHASES)


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def tally(request: pytest.FixtureRequest) -> Any:
    return import_module(f"polyglyph.kernels.tally.{request.param}").tally


class Books:
    """The real books beside the oracle's: counters by what a token is."""

    def __init__(self, *, num_rows: int, has_stats: bool = True, has_summaries: bool = True) -> None:
        self.account = Account.allocate(NUM_ROWS, device=DEVICE)
        sizes = {"num_layers": L, "num_experts": E, "device": DEVICE}
        self.interval = IntervalSums(num_groups=NUM_GROUPS, num_scripts=NUM_SCRIPTS, num_rows=num_rows, **sizes)
        self.summaries = Sums(2 * NUM_PHASES, L, E, DEVICE)
        self.has_stats, self.has_summaries = has_stats, has_summaries
        for row in range(1, NUM_ROWS):
            summaries = range(NUM_PHASES * (row - 1), NUM_PHASES * row) if row in {1, 2} and has_summaries else None
            self.account.open(row, group=min(row - 1, NUM_GROUPS), summaries=summaries)
        self.water = dict.fromkeys(range(NUM_ROWS), 0)
        self.tokens: Counter[tuple[int, int, int]] = Counter()
        self.selected: Counter[tuple[Any, ...]] = Counter()
        self.weights: Counter[tuple[Any, ...]] = Counter()
        self.summary: Counter[tuple[Any, ...]] = Counter()
        self.steered: Counter[int] = Counter()
        self.changed: Counter[int] = Counter()

    def add(self, tally: Any, step: TallyStep, log: TokenLog) -> None:
        counts_T = torch.ones(MAX_TOKENS + PADDING, dtype=torch.bool, device=DEVICE)
        notes = on_device(log.notes)
        tally(
            on_device(step),
            replace(on_device(log), notes=notes),
            account=self.account,
            interval=self.interval if self.has_stats else None,
            summaries=self.summaries if self.has_summaries else None,
            counts_T=counts_T,
            has_receipts=True,
        )
        assert counts_T[: step.num_tokens].tolist() == self.expect(step, log)
        assert counts_T[step.num_tokens :].all(), "what lies behind the step's tokens is left alone"

    def expect(self, step: TallyStep, log: TokenLog) -> list[bool]:
        counted = [False] * step.num_tokens
        for request, row in enumerate(step.row_R.tolist()):
            begin, end = step.query_start_R1[request : request + 2].tolist()
            start = int(step.start_R[request])
            valid = end - begin if step.num_valid_R is None else int(step.num_valid_R[request])
            for token in range(begin, end):
                position = start + token - begin
                if self.water[row] <= position < start + valid:
                    counted[token] = True
                    self._count(log, row, token)
            self.water[row] = max(self.water[row], start + valid)
        return counted

    def _count(self, log: TokenLog, row: int, token: int) -> None:
        phase = int(log.notes.phase_T[token])
        cell = (int(self.account.group_P[row]), int(log.script_T[token]), phase)
        self.tokens[cell] += 1
        is_steered = bool(log.notes.slot_T[token])
        self.steered[row] += is_steered
        for layer in range(L):
            self.changed[row] += is_steered and bool(log.changed_LT[layer, token])
            for place in range(K):
                expert = int(log.ids_LTK[layer, token, place])
                if expert >= 0:
                    self.selected[*cell, layer, expert] += 1
                    self.weights[*cell, layer, expert] += float(log.weights_LTK[layer, token, place])
                    if row in {1, 2}:
                        self.summary[NUM_PHASES * (row - 1) + phase, layer, expert] += 1

    def check(self) -> None:
        assert [int(n) for n in self.account.steered_P] == [self.steered[row] for row in range(NUM_ROWS)]
        assert [int(n) for n in self.account.changed_P] == [self.changed[row] for row in range(NUM_ROWS)]
        if self.has_stats:
            self._check_interval()
        if self.has_summaries:
            expected = np.zeros((2 * NUM_PHASES, L, E), np.int64)
            for cell, count in self.summary.items():
                expected[cell] = count
            assert (self.summaries.selected_GLE[:-1].cpu().numpy() == expected).all()

    def _check_interval(self) -> None:
        """Own rows hold their cell exactly; what found no row is in the overflow's, by phase; nothing is lost."""
        interval, sums = self.interval, self.interval.sums
        num_used = int(interval.num_used[0])
        assert num_used <= interval.num_rows
        overflow = Counter(self.tokens)
        selected = Counter(self.selected)
        seen = set()
        for row in range(NUM_PHASES, num_used):
            number = int(interval.cell_of_row_G[row])
            cell = (number // NUM_PHASES // NUM_SCRIPTS, number // NUM_PHASES % NUM_SCRIPTS, number % NUM_PHASES)
            assert cell not in seen
            seen.add(cell)
            assert int(sums.tokens_G[row]) == overflow.pop(cell)
            for layer, expert in np.ndindex(L, E):
                assert int(sums.selected_GLE[row, layer, expert]) == selected.pop((*cell, layer, expert), 0)
                expected = self.weights[*cell, layer, expert]
                assert float(sums.weight_sum_GLE[row, layer, expert]) == pytest.approx(expected, rel=1e-12)
        for phase in range(NUM_PHASES):
            assert int(sums.tokens_G[phase]) == sum(n for cell, n in overflow.items() if cell[2] == phase)
            for layer, expert in np.ndindex(L, E):
                left = sum(n for cell, n in selected.items() if cell[2:] == (phase, layer, expert))
                assert int(sums.selected_GLE[phase, layer, expert]) == left
        has_room = num_used < interval.num_rows
        assert not has_room or all(group == NUM_GROUPS for group, *_ in overflow), "a cell overflowed beside free rows"


def on_device(holder: Any) -> Any:
    """Give a copy whose tensors are where the sums are."""
    tensors = {name: value for name, value in vars(holder).items() if isinstance(value, torch.Tensor)}
    return replace(holder, **{name: tensor.to(DEVICE) for name, tensor in tensors.items()})


def make_step(draw: Any, water: dict[int, int]) -> tuple[TallyStep, TokenLog]:
    """Draw a step: some requests go back before what was counted, some have drafts rejected, or none was drafted."""
    rows = draw(st.permutations(range(1, NUM_ROWS)))[: draw(st.integers(0, NUM_ROWS - 1))]
    lengths = [draw(st.integers(1, MAX_TOKENS // NUM_ROWS)) for _ in rows]
    has_drafts = draw(st.booleans())
    valid = [length - draw(st.integers(0, min(2, length - 1))) for length in lengths] if has_drafts else None
    start = [max(0, water[row] - draw(st.sampled_from([0, 0, 0, 2]))) for row in rows]
    num_tokens, size = sum(lengths), MAX_TOKENS + PADDING
    random = np.random.default_rng(draw(st.integers(0, 2**32)))

    def ints(high: int, *shape: int, low: int = 0, dtype: Any = np.int32) -> torch.Tensor:
        return torch.from_numpy(random.integers(low, high, shape).astype(dtype))

    row_T = np.repeat([*rows, 0], [*lengths, size - num_tokens]).astype(np.int32)
    position_T = np.zeros(size, np.int32)
    position_T[:num_tokens] = np.concatenate(
        [np.arange(length) + p for p, length in zip(start, lengths, strict=True)] or [[]]
    )
    notes = TokenNotes(torch.from_numpy(row_T), torch.from_numpy(position_T), ints(3, size), ints(2, size))
    step = TallyStep(
        row_R=torch.tensor(rows, dtype=torch.int32),
        # As vLLM's buffers, which are longer than the step.
        query_start_R1=torch.tensor([0, *np.cumsum(lengths), 77], dtype=torch.int32),
        start_R=torch.tensor([*start, 77], dtype=torch.int32),
        num_valid_R=None if valid is None else torch.tensor(valid, dtype=torch.int32),
        num_tokens=num_tokens,
    )
    log = TokenLog(
        notes=notes,
        script_T=ints(NUM_SCRIPTS, size, dtype=np.uint8),
        ids_LTK=ints(E, L, size, K, low=-1)[:, :num_tokens],
        weights_LTK=torch.from_numpy(random.random((L, size, K), np.float32))[:, :num_tokens],
        changed_LT=ints(2, L, size, dtype=np.bool_)[:, :num_tokens],
    )
    return step, log


@settings(max_examples=40)
@given(data=st.data(), num_rows=st.sampled_from([4, 8, 64]), kept=st.sampled_from([(1, 1), (1, 0), (0, 1), (0, 0)]))
def test_every_token_counts_once_where_it_belongs(tally: Any, data: Any, num_rows: int, kept: tuple[int, int]) -> None:
    books = Books(num_rows=num_rows, has_stats=bool(kept[0]), has_summaries=bool(kept[1]))
    for _ in range(data.draw(st.integers(1, 4))):
        books.add(tally, *make_step(data.draw, books.water))
    books.check()


@pytest.mark.parametrize("fault", ["a row off by one", "a weight off by a hundredth", "a selection twice"])
def test_the_oracle_notices(tally: Any, fault: str) -> None:
    books = Books(num_rows=64)
    books.add(tally, *fixed_step())
    books.check()
    sums = books.interval.sums
    if fault == "a row off by one":
        sums.selected_GLE.copy_(sums.selected_GLE.roll(1, dims=0))
    elif fault == "a weight off by a hundredth":
        sums.weight_sum_GLE.mul_(1.01)
    else:
        sums.selected_GLE[NUM_PHASES, 0, 0] += 1
    with pytest.raises(AssertionError):
        books.check()


def fixed_step() -> tuple[TallyStep, TokenLog]:
    generator = torch.Generator().manual_seed(0)
    size = MAX_TOKENS + PADDING
    row_T = torch.cat([torch.full((8,), 1), torch.full((8,), 3), torch.zeros(size - 16)]).int()
    position_T = torch.cat([torch.arange(8), torch.arange(8), torch.zeros(size - 16)]).int()
    phase_T = torch.randint(0, 3, (size,), generator=generator, dtype=torch.int32)
    step = TallyStep(
        row_R=torch.tensor([1, 3], dtype=torch.int32),
        query_start_R1=torch.tensor([0, 8, 16], dtype=torch.int32),
        start_R=torch.zeros(2, dtype=torch.int32),
        num_valid_R=torch.tensor([8, 8], dtype=torch.int32),
        num_tokens=16,
    )
    log = TokenLog(
        notes=TokenNotes(row_T, position_T, phase_T, torch.ones_like(phase_T)),
        script_T=torch.randint(0, NUM_SCRIPTS, (size,), generator=generator, dtype=torch.uint8),
        ids_LTK=torch.randint(0, E, (L, 16, K), generator=generator, dtype=torch.int32),
        weights_LTK=torch.rand(L, 16, K, generator=generator),
        changed_LT=torch.ones(L, 16, dtype=torch.bool),
    )
    return step, log


def test_row_0_and_no_summary_are_never_written(tally: Any) -> None:
    books = Books(num_rows=64)
    books.account.summaries_P3[1:] = NO_SUMMARY
    books.add(tally, *fixed_step())
    assert not books.summaries.tokens_G[:-1].any()
    assert not books.account.steered_P[0] and not books.account.high_water_P[0]
