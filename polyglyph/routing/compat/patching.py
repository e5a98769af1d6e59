"""How a symbol of vLLM is wrapped: once, and loudly when it is gone."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from polyglyph.contract.errors import UnsupportedVllmError

_MARK = "__polyglyph_wrapped__"


def wrap(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace `owner.name` by what `make` builds around it; a second call does nothing.

    Args:
        owner: Class or module that defines the symbol itself.
        name: The symbol.
        make: Gets the original and gives the replacement.

    Raises:
        UnsupportedVllmError: This vLLM has no such symbol.
    """
    original = vars(owner).get(name)
    if original is None:
        raise UnsupportedVllmError(
            f"{owner.__module__ if hasattr(owner, '__module__') else owner.__name__}: expected vLLM to define "
            f"'{getattr(owner, '__qualname__', owner.__name__)}.{name}', which this release does not; install vLLM "
            "0.32 or 0.33, or set POLYGLYPH_DISABLE=1 to run vLLM without Polyglyph"
        )
    is_static = isinstance(original, staticmethod)
    function = original.__func__ if is_static else original
    if hasattr(function, _MARK):
        return
    replacement = wraps(function)(make(function))
    setattr(replacement, _MARK, function)
    setattr(owner, name, staticmethod(replacement) if is_static else replacement)


def is_wrapped(owner: Any, name: str) -> bool:
    """Whether `wrap` replaced this symbol and the replacement is still in place."""
    return hasattr(getattr(owner, name, None), _MARK)
