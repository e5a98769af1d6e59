"""Copies from the device to the host that the engine does not wait for."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class HostCopier:
    """Starts copies; on a CUDA device on a stream of its own, behind what the engine has launched so far.

    Args:
        device: Where the tensors are.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def start(self, tensors: Sequence[Tensor]) -> "HostCopy":
        """Begin to copy; the tensors may be overwritten by what is launched later only once the copy is ready."""
        if self._stream is None:
            return HostCopy([tensor.clone() for tensor in tensors], done=None)
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            hosts = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
            for host, tensor in zip(hosts, tensors, strict=True):
                host.copy_(tensor, non_blocking=True)
                # A temporary's memory must not be handed out again before the copy has read it.
                tensor.record_stream(self._stream)
            done = torch.cuda.Event()
            done.record(self._stream)
        return HostCopy(hosts, done=done)


class HostCopy:
    """Tensors on their way to the host."""

    def __init__(self, tensors: list[Tensor], *, done: torch.cuda.Event | None) -> None:
        self._tensors = tensors
        self._done = done

    def is_ready(self) -> bool:
        """Whether `arrays` gives them without waiting."""
        return self._done is None or bool(self._done.query())

    def arrays(self) -> list[np.ndarray]:
        """Give the host's arrays; waits for the copy where it is not ready."""
        if self._done is not None:
            self._done.synchronize()
        return [tensor.numpy() for tensor in self._tensors]
