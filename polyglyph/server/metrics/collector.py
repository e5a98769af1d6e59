"""The collector: turns what was counted and the ledger's facts into metrics when Prometheus asks."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from polyglyph.server.ledger_facts import LedgerFacts, TokenLabels
from polyglyph.server.metrics import families
from polyglyph.server.metrics.counts import DOSE_BOUNDS, MAX_SCRIPTS, Metrics
from polyglyph.server.metrics.families import Family
from polyglyph.server.metrics.labels import LabelLimit
from polyglyph.server.metrics.loads import LayerLoad, layer_loads


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Labels of `polyglyph_info`.

    Attributes:
        version: Polyglyph's.
        model: The name that is served.
        fingerprint: The loaded model's.
    """

    version: str
    model: str
    fingerprint: str


class RoutingCollector(Collector):
    """Gives all metrics of one server.

    Args:
        facts: Reads the ledger; called once per scrape, from whatever thread serves it.
        metrics: What the middleware and the trace writer count.
        identity: What is served.
        is_per_expert: Give a series per layer and expert as well.
    """

    def __init__(
        self, facts: Callable[[], LedgerFacts], *, metrics: Metrics, identity: Identity, is_per_expert: bool = False
    ) -> None:
        self._facts = facts
        self._metrics = metrics
        self._identity = identity
        self._is_per_expert = is_per_expert
        self._scripts = LabelLimit(MAX_SCRIPTS)

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without reading anything, for the registry's check of names."""
        kinds = (*families.ALWAYS, families.EXPERT_SELECTIONS) if self._is_per_expert else families.ALWAYS
        return [family.empty() for family in kinds]

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now."""
        facts = self._facts()
        yield self._info()
        yield from self._requests()
        yield from self._tokens(facts)
        yield from _loads(layer_loads(facts.selected_LE, facts.weight_sum_LE))
        if self._is_per_expert:
            yield _expert_selections(facts.selected_LE)
        yield from _store(facts)

    def _info(self) -> Metric:
        info = families.INFO.empty()
        labels = {
            "version": self._identity.version,
            "model": self._identity.model,
            "fingerprint": self._identity.fingerprint,
        }
        info.add_sample(families.INFO.name, labels, 1)
        return info

    def _requests(self) -> Iterator[Metric]:
        reading = self._metrics.read()
        yield _filled(families.REQUESTS, reading.requests.items())
        yield _filled(families.REFUSALS, (((code,), count) for code, count in sorted(reading.refusals.items())))
        yield _single(families.LOST, reading.lost_requests)
        yield _filled(families.GUESSES, reading.guesses.items())
        doses = families.DOSE.empty()
        bounds = [*(str(bound) for bound in DOSE_BOUNDS), "+Inf"]
        for plan, dose in reading.doses.items():
            for bound, number in zip(bounds, dose.at_most, strict=True):
                doses.add_sample(f"{families.DOSE.name}_bucket", {"plan": plan, "le": bound}, number)
            doses.add_sample(f"{families.DOSE.name}_sum", {"plan": plan}, dose.total)
            doses.add_sample(f"{families.DOSE.name}_count", {"plan": plan}, dose.at_most[-1])
        yield doses
        yield _single(families.TRACES_DROPPED, reading.dropped_traces)
        yield _single(families.TRACE_ROWS, reading.trace_rows)

    def _tokens(self, facts: LedgerFacts) -> Iterator[Metric]:
        tokens: Counter[tuple[str, ...]] = Counter()
        # Request scripts are added up: scripts by scripts would be thousands of series. The stats keep them apart.
        for (_, script, phase, is_steered), number in _largest_first(facts.tokens):
            tokens[self._scripts.of(script), phase, str(is_steered).lower()] += number
        cached: Counter[tuple[str, ...]] = Counter()
        for (_, script, _, _), number in _largest_first(facts.cached_tokens):
            cached[(self._scripts.of(script),)] += number
        yield _filled(families.TOKENS, tokens.items())
        yield _filled(families.CACHED_TOKENS, cached.items())
        yield _single(families.OVERFLOW, facts.overflow_tokens)


def _largest_first(tokens: Mapping[TokenLabels, int]) -> list[tuple[TokenLabels, int]]:
    """Order so that the scripts met most get a name of their own when there are too many for all."""
    return sorted(tokens.items(), key=lambda item: (-item[1], item[0]))


def _loads(loads: list[LayerLoad]) -> Iterator[Metric]:
    entropies = ((load.layer, load.entropy_bits) for load in loads)
    yield _filled(families.ENTROPY, (((str(layer),), bits) for layer, bits in entropies if bits is not None))
    yield _filled(families.MAX_OVER_MEAN, (((str(load.layer),), load.max_over_mean) for load in loads))
    yield _filled(families.JAIN, (((str(load.layer),), load.jain) for load in loads))
    yield _filled(families.DORMANT, (((str(load.layer),), load.dormant) for load in loads))


def _expert_selections(selected_LE: np.ndarray[Any, Any]) -> Metric:
    rows = enumerate(selected_LE.tolist())
    return _filled(
        families.EXPERT_SELECTIONS,
        (((str(layer), str(expert)), count) for layer, row in rows for expert, count in enumerate(row)),
    )


def _store(facts: LedgerFacts) -> Iterator[Metric]:
    yield _single(families.STORE_UP, int(facts.is_store_up))
    yield _single(families.STORE_ERRORS, facts.store_errors)
    yield _single(families.UNFLUSHED, facts.unflushed_groups)
    yield _single(families.FLUSH_AGE, facts.flush_age_s)


def _single(family: Family, value: float) -> Metric:
    return _filled(family, [((), value)])


def _filled(family: Family, samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    metric = family.empty()
    for values, value in samples:
        metric.add_sample(family.name, dict(zip(family.labels, values, strict=True)), value)
    return metric
