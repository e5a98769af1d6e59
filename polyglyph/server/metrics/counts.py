"""What the middleware and the trace writer count, request by request."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock
from typing import Final, Literal, get_args

from polyglyph.contract.errors import RequestError
from polyglyph.contract.guess import GuessKind
from polyglyph.server.metrics.labels import INLINE, NO_PLAN, OTHER, LabelLimit, plan_label

MAX_PLANS: Final = 50
MAX_SCRIPTS: Final = 40
MAX_REQUEST_SERIES: Final = 500
"""Combinations of request script, plan and source that get a series of their own; later ones share `other`."""

Guess = Literal[GuessKind, "pattern"]
Outcome = Literal["guessed", "unsure", "failed"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("guessed", "unsure", "failed")

DOSE_BOUNDS: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True)
class DoseCounts:
    """Histogram of one plan's doses.

    Attributes:
        at_most: Requests with a dose of at most each bound, the last without bound.
        total: Sum of all doses.
    """

    at_most: tuple[int, ...]
    total: float


@dataclass(frozen=True, kw_only=True)
class CountsReading:
    """All counts at one moment; labels as they are to be shown."""

    requests: dict[tuple[str, str, str], int]
    refusals: dict[str, int]
    lost_requests: int
    guesses: dict[tuple[str, str], int]
    doses: dict[str, DoseCounts]
    dropped_traces: int
    trace_rows: int


class Metrics:
    """Counters since the server's start; may be called from any thread.

    Plain numbers and no metric objects of prometheus_client: those share one registry per process, so that two servers
    in one process (tests) would add up.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._scripts = LabelLimit(MAX_SCRIPTS)
        self._plans = LabelLimit(MAX_PLANS, free=frozenset({NO_PLAN, INLINE}))
        self._requests: Counter[tuple[str, str, str]] = Counter()
        # Codes start at zero: a rate over a series that appears with its first refusal would not show it.
        self._refusals: Counter[str] = Counter(dict.fromkeys(refusal_codes(), 0))
        self._lost_requests = 0
        self._guesses: Counter[tuple[str, str]] = Counter(
            {(kind, outcome): 0 for kind in get_args(Guess) for outcome in OUTCOMES}
        )
        self._doses: dict[str, list[int]] = {}
        self._dose_totals: dict[str, float] = {}
        self._dropped_traces = 0
        self._trace_rows = 0

    def count_request(
        self, *, request_script: str, plan: str | None, source: str, has_inline_edits: bool = False
    ) -> None:
        """Count a request that was let through.

        Args:
            request_script: ISO 15924 code.
            plan: The plan's name in the registry, None without one.
            source: `request`, `policy` or `default`.
            has_inline_edits: Whether it brought edits of its own.
        """
        with self._lock:
            label = self._plans.of(plan_label(plan, has_inline_edits=has_inline_edits))
            key = (self._scripts.of(request_script), label, source)
            if key not in self._requests and len(self._requests) >= MAX_REQUEST_SERIES:
                key = (OTHER, OTHER, source)
            self._requests[key] += 1

    def count_refusal(self, *, code: str) -> None:
        """Count a request that was refused with this error code."""
        with self._lock:
            self._refusals[code] += 1

    def count_lost(self) -> None:
        """Count a request that the engine served without what was asked."""
        with self._lock:
            self._lost_requests += 1

    def count_guess(self, *, guess: Guess, outcome: Outcome) -> None:
        """Count a guess of a source script, or a look into the policy's library of patterns.

        Args:
            guess: How it was made.
            outcome: Whether there was one; `failed` where the engine did not serve the probe.
        """
        with self._lock:
            self._guesses[guess, outcome] += 1

    def observe_dose(self, *, plan: str | None, dose: float) -> None:
        """Note the dose of a steered request that has finished.

        Args:
            plan: The plan's name in the registry, None where inline edits steered alone.
            dose: Share of selections changed, 0 to 1.
        """
        with self._lock:
            label = self._plans.of(plan_label(plan, has_inline_edits=True))
            buckets = self._doses.setdefault(label, [0] * (len(DOSE_BOUNDS) + 1))
            buckets[bisect_left(DOSE_BOUNDS, dose)] += 1
            self._dose_totals[label] = self._dose_totals.get(label, 0.0) + dose

    def count_dropped_traces(self, number: int) -> None:
        """Count traces of sequences that nobody will get."""
        with self._lock:
            self._dropped_traces += number

    def count_trace_rows(self, number: int) -> None:
        """Count rows of traces that are on disk."""
        with self._lock:
            self._trace_rows += number

    def read(self) -> CountsReading:
        """Give all counts as they are now."""
        with self._lock:
            doses = {
                plan: DoseCounts(at_most=tuple(accumulate(buckets)), total=self._dose_totals[plan])
                for plan, buckets in self._doses.items()
            }
            return CountsReading(
                requests=dict(self._requests),
                refusals=dict(self._refusals),
                lost_requests=self._lost_requests,
                guesses=dict(self._guesses),
                doses=doses,
                dropped_traces=self._dropped_traces,
                trace_rows=self._trace_rows,
            )


def refusal_codes() -> set[str]:
    """Give the code of every refusal that a generating request can meet."""

    def below(kind: type[RequestError]) -> set[str]:
        # The clients' errors are part of the tree where they are imported too, but no server answers with them.
        is_ours = kind.__module__ == RequestError.__module__ and kind.status < 500
        own = {kind.code} if is_ours else set()
        return own.union(*(below(child) for child in kind.__subclasses__()))

    return below(RequestError)
