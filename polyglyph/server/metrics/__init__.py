"""Prometheus metrics `polyglyph_*`: what requests came to, how the layers route, and how the store fares."""

from polyglyph.server.metrics.counts import Metrics

__all__ = ["Metrics"]
