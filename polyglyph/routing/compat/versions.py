"""Which vLLM releases these patches were written for."""

import os
import re

from polyglyph.contract.errors import UnsupportedVllmError

SUPPORTED = ("0.32", "0.33")


def check_vllm_version(version: str | None = None) -> None:
    """Refuse a vLLM release that Polyglyph was not written for.

    Args:
        version: The release; the installed one when absent.

    Raises:
        UnsupportedVllmError: Names both versions. `POLYGLYPH_ALLOW_UNTESTED_VLLM=1` lets it pass.
    """
    installed = version or _installed_version()
    match = re.match(r"(\d+\.\d+)(\.|$)", installed)
    if match and match.group(1) in SUPPORTED:
        return
    if os.environ.get("POLYGLYPH_ALLOW_UNTESTED_VLLM") == "1":
        return
    raise UnsupportedVllmError(
        f"Polyglyph supports vLLM {' and '.join(f'{release}.x' for release in SUPPORTED)}, found vLLM {installed}; "
        "install a supported release, or set POLYGLYPH_ALLOW_UNTESTED_VLLM=1 to try this one at your own risk"
    )


def _installed_version() -> str:
    import vllm

    return str(vllm.__version__)
