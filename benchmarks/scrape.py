"""What a scrape of `polyglyph_*` costs: `python -m benchmarks.scrape`, on made-up sums, no engine."""

import statistics
import time

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from polyglyph.contract.plan import PHASES
from polyglyph.server.ledger_facts import LedgerFacts, TokenLabels
from polyglyph.server.metrics import Metrics
from polyglyph.server.metrics.collector import Identity, RoutingCollector

SHAPES = ((6, 16), (48, 128), (61, 256))
SCRIPTS = tuple(f"S{number:03}" for number in range(20))
PLANS = tuple(f"plan-{number}" for number in range(10))
ROUNDS = 25


def main() -> None:
    """Print a row for each shape of model, without and with series per expert."""
    print("| layers x experts | per expert | processor ms, median | ms, 10 % to 90 % | bytes | series |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        for is_per_expert in (False, True):
            registry = CollectorRegistry()
            registry.register(make_collector(shape, is_per_expert=is_per_expert))
            times_ms, text = measure(registry)
            deciles = statistics.quantiles(times_ms, n=10)
            num_series = sum(not line.startswith(b"#") for line in text.splitlines())
            print(
                f"| {shape[0]} x {shape[1]} | {'yes' if is_per_expert else 'no'} | {statistics.median(times_ms):.1f} "
                f"| {deciles[0]:.1f} to {deciles[-1]:.1f} | {len(text):,} | {num_series:,} |"
            )


def measure(registry: CollectorRegistry) -> tuple[list[float], bytes]:
    """Scrape many times, after a first time that does not count; processor time, which other work leaves as it is."""
    text = generate_latest(registry)
    times_ms = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        text = generate_latest(registry)
        times_ms.append((time.thread_time() - start) * 1e3)
    return times_ms, text


def make_collector(shape: tuple[int, int], *, is_per_expert: bool) -> RoutingCollector:
    """Give a collector of a busy server: 20 scripts in all combinations, 10 plans."""
    random = np.random.default_rng(0)
    tokens = {
        TokenLabels(request, script, phase, is_steered): int(random.integers(1, 10**6))
        for request in SCRIPTS
        for script in SCRIPTS
        for phase in PHASES
        for is_steered in (False, True)
    }
    facts = LedgerFacts(
        selected_LE=random.integers(0, 10**6, shape),
        weight_sum_LE=random.random(shape) * 1e6,
        tokens=tokens,
        cached_tokens=tokens,
        overflow_tokens=0,
        unflushed_groups=0,
        flush_age_s=0.5,
        is_store_up=True,
        store_errors=0,
    )
    metrics = Metrics()
    for script in SCRIPTS:
        for plan in PLANS:
            metrics.count_request(request_script=script, plan=plan, source="policy")
            metrics.observe_dose(plan=plan, dose=0.2)
    identity = Identity(version="0.1.0", model="made-up", fingerprint="sha256:" + "0" * 64)
    return RoutingCollector(lambda: facts, metrics=metrics, identity=identity, is_per_expert=is_per_expert)


if __name__ == "__main__":
    main()
