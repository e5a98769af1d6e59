"""Polyglyph: steer and read the router of Mixture-of-Experts models, per request, inside vLLM."""

from importlib import resources
from pathlib import Path

__version__ = "0.1.0"


def bundled_organism() -> Path:
    """Give the folder of the shipped model organism, in the Hugging Face format."""
    return Path(str(resources.files("polyglyph") / "data" / "organism"))


def bundled_plans() -> Path:
    """Give the folder of the plans shipped for the organism."""
    return Path(str(resources.files("polyglyph") / "data" / "plans"))
