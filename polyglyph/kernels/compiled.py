"""Functions that Numba compiles for the CPU; what it compiled is kept between processes where a folder can be written.

Import this only once the model is loaded: vLLM's CPU worker looks into every module that is there before, and falls
over llvmlite.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit, types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function at its first call, for the types of that call.

    It runs without Python's lock, and divides as NumPy does: by zero to infinity or NaN.
    """
    settings: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        made: F = njit(cache=True, **settings)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written.
        made = njit(**settings)(function)
    return made


@intrinsic
def pointer(_: Any, address: Any) -> Any:  # noqa: ARG001 - only its type matters here
    """Turn an address, an int64, into what `numba.carray` takes; the memory must stay where it is."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.intp), generate
