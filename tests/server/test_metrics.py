"""`polyglyph_*`: what a scrape of vLLM's own `/metrics` shows, and that it stays small, true and cheap."""

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from polyglyph.contract.plan import PHASES
from polyglyph.server.ledger_facts import LedgerFacts, TokenLabels
from polyglyph.server.metrics import families
from polyglyph.server.metrics.collector import Identity, RoutingCollector
from polyglyph.server.metrics.counts import DOSE_BOUNDS, MAX_PLANS, MAX_REQUEST_SERIES, MAX_SCRIPTS, Metrics
from polyglyph.server.metrics.labels import INLINE, NO_PLAN, OTHER, plan_label
from polyglyph.server.metrics.loads import entropy_bits, layer_loads
from polyglyph.server.metrics.publication import publish, withdraw

IDENTITY = Identity(version="0.1.0", model="organism", fingerprint="sha256:" + "0" * 64)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


SELECTED_LE = np.array([[3, 1, 0], [0, 0, 0]])
"""Two layers, of which one never routed."""


def facts(**changes: Any) -> LedgerFacts:
    """Give what a ledger may say."""
    usual = LedgerFacts(
        selected_LE=SELECTED_LE,
        weight_sum_LE=SELECTED_LE / 2,
        tokens={
            TokenLabels("Cyrl", "Cyrl", "prompt", is_steered=False): 5,
            TokenLabels("Latn", "Cyrl", "prompt", is_steered=False): 2,
            TokenLabels("Latn", "Latn", "answer", is_steered=True): 4,
        },
        cached_tokens={TokenLabels("Cyrl", "Cyrl", "prompt", is_steered=False): 16},
        overflow_tokens=7,
        unflushed_groups=2,
        flush_age_s=0.5,
        is_store_up=True,
        store_errors=1,
    )
    return replace(usual, **changes)


def collector(said: LedgerFacts | None = None, *, counts: Metrics | None = None, **settings: Any) -> RoutingCollector:
    return RoutingCollector(lambda: said or facts(), metrics=counts or Metrics(), identity=IDENTITY, **settings)


def read(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(said: LedgerFacts | None = None, *, counts: Metrics | None = None, **settings: Any) -> Samples:
    registry = CollectorRegistry()
    registry.register(collector(said, counts=counts, **settings))
    return read(generate_latest(registry).decode())


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def series_of(samples: Samples, name: str) -> list[dict[str, str]]:
    return [dict(labels) for known, labels in samples if known == name]


@pytest.fixture
def published() -> Iterator[RoutingCollector]:
    ours = collector()
    publish(ours)
    yield ours
    withdraw(ours)


async def fetch_metrics() -> str:
    from vllm.entrypoints.serve.instrumentator.metrics import attach_router

    app = FastAPI()
    attach_router(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        return (await client.get("/metrics")).text


async def test_vllms_own_route_shows_our_metrics_beside_its_own(published: RoutingCollector):
    text = await fetch_metrics()
    assert value(read(text), "polyglyph_store_up") == 1
    assert "python_info" in text


async def test_a_server_that_went_away_shows_nothing(published: RoutingCollector):
    withdraw(published)
    assert "polyglyph_" not in await fetch_metrics()


async def test_a_second_server_in_one_process_takes_the_place_of_the_first(published: RoutingCollector):
    second = collector(facts(is_store_up=False))
    publish(second)
    assert value(read(await fetch_metrics()), "polyglyph_store_up") == 0
    withdraw(published)
    assert "polyglyph_store_up" in await fetch_metrics()
    withdraw(second)


def test_the_log_says_when_metrics_cannot_be_seen(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "somewhere")
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    publish(collector(), registry=CollectorRegistry())
    assert "PROMETHEUS_MULTIPROC_DIR" in caplog.text


def test_the_names_are_known_before_the_first_scrape():
    registry = CollectorRegistry()
    publish(collector(is_per_expert=True), registry=registry)
    with pytest.raises(ValueError, match="polyglyph_dose"):
        Gauge("polyglyph_dose", "Another's.", registry=registry)


def test_every_metric_has_a_help_text_a_type_and_a_unit_at_the_end_of_its_name():
    text = generate_latest(registry_of(collector(is_per_expert=True))).decode()
    for family in (*families.ALWAYS, families.EXPERT_SELECTIONS):
        name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
        assert f"# HELP {family.name} {family.help}" in text
        assert f"# TYPE {family.name} " in text
        assert family.help.endswith(".")
        assert (family.kind == "counter") == family.name.endswith("_total"), name


def registry_of(ours: RoutingCollector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ours)
    return registry


def test_requests_refusals_and_losses_are_counted():
    counts = Metrics()
    for _ in range(3):
        counts.count_request(request_script="Cyrl", plan="to-latn", source="policy")
    counts.count_refusal(code="impossible_edit")
    counts.count_lost()
    counts.count_dropped_traces(4)
    counts.count_trace_rows(342)
    samples = scrape(counts=counts)
    assert value(samples, "polyglyph_requests_total", request_script="Cyrl", plan="to-latn", source="policy") == 3
    assert value(samples, "polyglyph_refused_requests_total", code="impossible_edit") == 1
    assert value(samples, "polyglyph_lost_requests_total") == 1
    assert value(samples, "polyglyph_traces_dropped_total") == 4
    assert value(samples, "polyglyph_trace_rows_total") == 342


def test_refusals_of_every_code_start_at_zero_so_that_the_first_shows_in_a_rate():
    codes = {labels["code"] for labels in series_of(scrape(), "polyglyph_refused_requests_total")}
    assert {"invalid_steering", "plan_not_found", "body_too_large"} <= codes
    assert "steering_lost" not in codes


@given(st.lists(st.floats(0, 1), max_size=30))
def test_the_histogram_of_doses_counts_what_a_loop_counts(doses: list[float]):
    counts = Metrics()
    for dose in doses:
        counts.observe_dose(plan="to-latn", dose=dose)
    samples = scrape(counts=counts)
    if not doses:
        assert not series_of(samples, "polyglyph_dose_count")
        return
    for bound in DOSE_BOUNDS:
        at_most = value(samples, "polyglyph_dose_bucket", plan="to-latn", le=str(bound))
        assert at_most == sum(dose <= bound for dose in doses)
    assert value(samples, "polyglyph_dose_bucket", plan="to-latn", le="+Inf") == len(doses)
    assert value(samples, "polyglyph_dose_count", plan="to-latn") == len(doses)
    assert value(samples, "polyglyph_dose_sum", plan="to-latn") == pytest.approx(math.fsum(doses))


@pytest.mark.parametrize(
    ("name", "has_inline_edits", "label"),
    [
        (None, False, "none"),
        (None, True, "inline"),
        ("to-latn", True, "to-latn"),
        ("none", False, "plan:none"),
        ("inline", False, "plan:inline"),
        ("other", False, "plan:other"),
    ],
)
def test_a_plan_is_never_mixed_up_with_our_words(name: str | None, has_inline_edits: bool, label: str):
    assert plan_label(name, has_inline_edits=has_inline_edits) == label


def test_after_fifty_plans_the_rest_share_one_series_and_none_and_inline_keep_theirs():
    counts = Metrics()
    for number in range(MAX_PLANS + 20):
        counts.count_request(request_script="Latn", plan=f"plan-{number}", source="request")
        counts.observe_dose(plan=f"plan-{number}", dose=0.5)
    for has_inline_edits in (False, True):
        counts.count_request(request_script="Latn", plan=None, source="request", has_inline_edits=has_inline_edits)
    counts.observe_dose(plan=None, dose=0.5)
    samples = scrape(counts=counts)
    shown = {labels["plan"] for labels in series_of(samples, "polyglyph_requests_total")}
    assert shown == {*(f"plan-{number}" for number in range(MAX_PLANS)), OTHER, NO_PLAN, INLINE}
    other = value(samples, "polyglyph_requests_total", request_script="Latn", plan=OTHER, source="request")
    assert other == value(samples, "polyglyph_dose_count", plan=OTHER) == 20
    assert value(samples, "polyglyph_dose_count", plan=INLINE) == 1


def test_any_mixture_of_labels_keeps_the_series_of_requests_bounded_and_loses_no_request():
    counts = Metrics()
    for script in range(100):
        for plan in range(100):
            counts.count_request(request_script=f"S{script:03}", plan=f"plan-{plan}", source="policy")
    samples = scrape(counts=counts)
    series = series_of(samples, "polyglyph_requests_total")
    assert len(series) <= MAX_REQUEST_SERIES + 1
    assert sum(value(samples, "polyglyph_requests_total", **labels) for labels in series) == 10_000


def test_tokens_are_summed_over_request_scripts_and_kept_apart_by_script_phase_and_steering():
    samples = scrape()
    assert value(samples, "polyglyph_tokens_total", script="Cyrl", phase="prompt", steered="false") == 7
    assert value(samples, "polyglyph_tokens_total", script="Latn", phase="answer", steered="true") == 4
    assert value(samples, "polyglyph_cached_tokens_total", script="Cyrl") == 16
    assert value(samples, "polyglyph_stats_overflow_tokens_total") == 7


def test_tokens_in_every_script_there_is_stay_under_three_hundred_series_and_no_counter_falls():
    tokens = {
        TokenLabels(request, f"S{number:03}", phase, is_steered=is_steered): 1 + number
        for number in range(170)
        for request in ("Latn", "Cyrl")
        for phase in PHASES
        for is_steered in (False, True)
    }
    said = [facts(tokens=dict(list(tokens.items())[: len(tokens) // 2]))]
    registry = registry_of(RoutingCollector(lambda: said[-1], metrics=Metrics(), identity=IDENTITY))
    before = read(generate_latest(registry).decode())
    said.append(facts(tokens={key: 2 * number for key, number in tokens.items()}))
    after = read(generate_latest(registry).decode())
    series = series_of(after, "polyglyph_tokens_total")
    assert len(series) == (MAX_SCRIPTS + 1) * 6 < 300
    assert sum(value(after, "polyglyph_tokens_total", **labels) for labels in series) == 2 * sum(tokens.values())
    assert all(after[key] >= number for key, number in before.items())
    assert "S084" in {labels["script"] for labels in series}, "what was met most has a name"


COUNTS_LE = st_np.arrays(np.int64, st_np.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 9))


@given(COUNTS_LE)
def test_the_loads_of_a_layer_are_what_the_formulas_say(selected_LE: np.ndarray[Any, Any]):
    loads = {load.layer: load for load in layer_loads(selected_LE, selected_LE / 2)}
    assert set(loads) == {layer for layer, row in enumerate(selected_LE.tolist()) if sum(row)}
    for layer, load in loads.items():
        row = selected_LE[layer].tolist()
        mean = sum(row) / len(row)
        assert load.max_over_mean == pytest.approx(max(row) / mean)
        assert load.jain == pytest.approx(sum(row) ** 2 / (len(row) * sum(count**2 for count in row)))
        assert load.dormant == row.count(0)
        shares = [count / sum(row) for count in row if count]
        assert load.entropy_bits == pytest.approx(-math.fsum(share * math.log2(share) for share in shares), abs=1e-12)


def test_an_even_layer_has_all_bits_and_one_expert_alone_none():
    assert entropy_bits(np.full(128, 0.25)) == pytest.approx(7)
    assert entropy_bits(np.array([0.0, 3.0])) == 0
    (even,) = layer_loads(np.full((1, 16), 5), np.full((1, 16), 1.0))
    assert (even.jain, even.max_over_mean, even.dormant) == (pytest.approx(1), pytest.approx(1), 0)


def test_a_layer_that_never_routed_is_absent():
    samples = scrape()
    for name in ("entropy_bits", "load_max_over_mean", "load_jain"):
        assert series_of(samples, f"polyglyph_layer_{name}") == [{"layer": "0"}]
    assert series_of(samples, "polyglyph_dormant_experts") == [{"layer": "0"}]
    assert value(samples, "polyglyph_dormant_experts", layer="0") == 1


@pytest.mark.parametrize("broken", [np.nan, np.inf, 0.0, -1.0])
def test_an_entropy_that_cannot_be_computed_is_absent_and_never_nan(broken: float):
    samples = scrape(facts(weight_sum_LE=np.full((2, 3), broken)))
    assert not series_of(samples, "polyglyph_layer_entropy_bits")
    assert series_of(samples, "polyglyph_layer_load_jain")
    assert all(math.isfinite(number) for number in samples.values())


def test_the_store_is_told_of():
    samples = scrape(facts(is_store_up=False))
    assert value(samples, "polyglyph_store_up") == 0
    assert value(samples, "polyglyph_store_errors_total") == 1
    assert value(samples, "polyglyph_stats_unflushed_groups") == 2
    assert value(samples, "polyglyph_stats_flush_age_seconds") == 0.5


def test_the_info_names_version_model_and_fingerprint():
    (labels,) = series_of(scrape(), "polyglyph_info")
    assert labels == {"version": "0.1.0", "model": "organism", "fingerprint": IDENTITY.fingerprint}


def test_experts_have_series_of_their_own_only_when_asked():
    assert not series_of(scrape(), "polyglyph_expert_selections_total")
    samples = scrape(is_per_expert=True)
    assert len(series_of(samples, "polyglyph_expert_selections_total")) == 6
    assert value(samples, "polyglyph_expert_selections_total", layer="0", expert="1") == 1


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", "модель", ""])
def test_any_model_name_survives_the_scrape(text: str):
    identity = replace(IDENTITY, model=text)
    ours = RoutingCollector(facts, metrics=Metrics(), identity=identity)
    (labels,) = series_of(read(generate_latest(registry_of(ours)).decode()), "polyglyph_info")
    assert labels["model"] == text


def test_counting_from_many_threads_while_being_scraped_loses_nothing():
    counts = Metrics()

    def count() -> None:
        for number in range(500):
            counts.count_request(request_script="Latn", plan=f"plan-{number % 70}", source="request")
            counts.observe_dose(plan="to-latn", dose=0.25)

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        scrape(counts=counts)
    samples = scrape(counts=counts)
    series = series_of(samples, "polyglyph_requests_total")
    assert sum(value(samples, "polyglyph_requests_total", **labels) for labels in series) == 2000
    assert value(samples, "polyglyph_dose_sum", plan="to-latn") == 500


def test_the_default_registry_is_left_as_it_was():
    assert not [name for name in REGISTRY._names_to_collectors if name.startswith("polyglyph")]
