"""Hangs a server's collector into the registry that vLLM's `/metrics` reads, once per process."""

import logging
import os

from prometheus_client import REGISTRY, CollectorRegistry

from polyglyph.server.metrics.collector import RoutingCollector

logger = logging.getLogger("vllm.polyglyph")


def publish(collector: RoutingCollector, *, registry: CollectorRegistry = REGISTRY) -> None:
    """Show a server's metrics at `/metrics`, in the place of a former server's of this process.

    vLLM's route reads the default registry (`vllm/v1/metrics/prometheus.py: get_prometheus_registry`). With
    `PROMETHEUS_MULTIPROC_DIR` set it reads files of several API servers instead, where no collector appears; Polyglyph
    refuses several API servers, so that variable has no use here, and the log says what it costs.
    """
    for former in _published(registry):
        registry.unregister(former)
    registry.register(collector)
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        logger.warning(
            "PROMETHEUS_MULTIPROC_DIR is set: /metrics will not show polyglyph_*; unset it, one API server needs none"
        )


def withdraw(collector: RoutingCollector, *, registry: CollectorRegistry = REGISTRY) -> None:
    """Take a server's metrics away; one whose place another took is no fault."""
    if collector in _published(registry):
        registry.unregister(collector)


def _published(registry: CollectorRegistry) -> list[RoutingCollector]:
    # The registry cannot be asked for its collectors; vLLM's `unregister_vllm_metrics` reads the same attribute.
    known = list(registry._collector_to_names)  # noqa: SLF001
    return [collector for collector in known if isinstance(collector, RoutingCollector)]
