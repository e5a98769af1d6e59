"""The metrics that exist: name, kind, labels and the words that explain each."""

from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

Kind = Literal["counter", "gauge", "histogram", "info"]


@dataclass(frozen=True)
class Family:
    """One metric.

    Attributes:
        name: As scraped: counters end in `_total`, infos in `_info`.
        help: Its HELP line.
        kind: Prometheus type.
        labels: Label names, in the order of their values.
    """

    name: str
    help: str
    kind: Kind = "gauge"
    labels: tuple[str, ...] = ()

    def empty(self) -> Metric:
        """Give the metric without samples, under the name that prometheus_client wants (it adds the endings)."""
        if self.kind == "counter":
            return CounterMetricFamily(self.name.removesuffix("_total"), self.help, labels=self.labels)
        if self.kind == "histogram":
            return HistogramMetricFamily(self.name, self.help, labels=self.labels)
        if self.kind == "info":
            return InfoMetricFamily(self.name.removesuffix("_info"), self.help, labels=self.labels)
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)


INFO = Family("polyglyph_info", "What is served.", "info")

REQUESTS = Family(
    "polyglyph_requests_total",
    "Requests let through to the engine, by the script of the user's text, the plan asked for, and who asked for it.",
    "counter",
    ("request_script", "plan", "source"),
)
REFUSALS = Family(
    "polyglyph_refused_requests_total",
    "Requests refused before they were scheduled, by error code.",
    "counter",
    ("code",),
)
LOST = Family(
    "polyglyph_lost_requests_total", "Requests the engine served without what was asked; answered with 500.", "counter"
)
GUESSES = Family(
    "polyglyph_guesses_total",
    "Source scripts and patterns that the policy had to guess for an auto request, by how, and whether it could.",
    "counter",
    ("guess", "outcome"),
)
DOSE = Family(
    "polyglyph_dose", "Share of a request's (token, layer) selections that steering changed.", "histogram", ("plan",)
)
TRACES_DROPPED = Family(
    "polyglyph_traces_dropped_total",
    "Traces of sequences given up: the workers held too many, or --trace-dir could not be written.",
    "counter",
)
TRACE_ROWS = Family("polyglyph_trace_rows_total", "Rows (one per token and layer) written to --trace-dir.", "counter")

TOKENS = Family(
    "polyglyph_tokens_total",
    "Tokens that the engine computed, by their own script, their phase, and whether their request was steered.",
    "counter",
    ("script", "phase", "steered"),
)
CACHED_TOKENS = Family(
    "polyglyph_cached_tokens_total",
    "Prompt tokens served from the prefix cache: not computed, in no other sum.",
    "counter",
    ("script",),
)
OVERFLOW = Family(
    "polyglyph_stats_overflow_tokens_total",
    "Computed and cached tokens for which the stats had no group of their own left.",
    "counter",
)

ENTROPY = Family(
    "polyglyph_layer_entropy_bits",
    "Entropy of the routing weight over the experts of a layer since the server started, in bits.",
    labels=("layer",),
)
MAX_OVER_MEAN = Family(
    "polyglyph_layer_load_max_over_mean",
    "Selections of a layer's busiest expert over the mean of all its experts since the server started.",
    labels=("layer",),
)
JAIN = Family(
    "polyglyph_layer_load_jain",
    "Jain index of the selections of a layer's experts since the server started: 1 is even, 1/experts is one expert.",
    labels=("layer",),
)
DORMANT = Family(
    "polyglyph_dormant_experts", "Experts of a layer never selected since the server started.", labels=("layer",)
)
EXPERT_SELECTIONS = Family(
    "polyglyph_expert_selections_total",
    "How often an expert was selected; only with --expert-metrics.",
    "counter",
    ("layer", "expert"),
)

STORE_UP = Family("polyglyph_store_up", "Whether the last access to the store succeeded: 1 or 0.")
STORE_ERRORS = Family("polyglyph_store_errors_total", "Accesses to the store that failed.", "counter")
UNFLUSHED = Family("polyglyph_stats_unflushed_groups", "Groups of sums held in memory until the store takes them.")
FLUSH_AGE = Family("polyglyph_stats_flush_age_seconds", "Time since the store last had all sums.")

ALWAYS = (
    INFO, REQUESTS, REFUSALS, LOST, GUESSES, DOSE, TRACES_DROPPED, TRACE_ROWS, TOKENS, CACHED_TOKENS, OVERFLOW, ENTROPY,
    MAX_OVER_MEAN, JAIN, DORMANT, STORE_UP, STORE_ERRORS, UNFLUSHED, FLUSH_AGE,
)  # fmt: skip
"""Every metric of every server, in the order of a scrape."""
