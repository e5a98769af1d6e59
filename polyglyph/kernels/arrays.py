"""NumPy views of persistent tensors: made once, because each costs as much as the work of a small step.

A view sees every later write to its tensor. Only tensors on the CPU have one.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Arrays = tuple[NDArray[Any], ...]
ABSENT = np.zeros(0, np.int32)
"""In place of None, which compiled code would be compiled for once more."""

_NUM_KEPT = 4096
"""More than a worker has of layers and books; what tests make besides is forgotten."""


@lru_cache(maxsize=_NUM_KEPT)
def arrays_of(holder: Any) -> Arrays:
    """Give views of an object's public tensors, in the order in which it was given them.

    Args:
        holder: An object that is compared by identity and never gets other tensors.
    """
    return tuple(
        tensor.numpy()
        for name, tensor in vars(holder).items()
        if isinstance(tensor, Tensor) and not name.startswith("_")
    )


def put(tensor: Tensor, index: Any, value: Any) -> None:
    """Write into a persistent tensor; where it can be done without torch, in a tenth of the time."""
    (array_of(tensor) if tensor.device.type == "cpu" else tensor)[index] = value


@lru_cache(maxsize=_NUM_KEPT)
def array_of(tensor: Tensor) -> NDArray[np.generic]:
    """Give the view of a tensor that stays where it is."""
    array: NDArray[np.generic] = tensor.numpy()
    return array
