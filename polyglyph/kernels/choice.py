"""Which implementation of an operation runs: the fastest of the device, or what `POLYGLYPH_KERNELS` says.

Every operation is a folder beside this file; an implementation is a module in it with the operation's own functions.
"""

import os
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import torch

from polyglyph.contract.errors import StartupError

VARIABLE = "POLYGLYPH_KERNELS"

IMPLEMENTATIONS: Mapping[str, tuple[str, ...]] = {
    "annotate": ("reference", "cpu", "triton"),
    "label_scripts": ("reference", "cpu", "parallel"),
    "steer_route": ("reference", "cpu", "triton"),
    "tally": ("reference", "cpu"),
}
_OTHER = "other"
_BY_DEVICE: Mapping[str, Mapping[str, str]] = {
    "annotate": {"cpu": "cpu", "cuda": "triton"},
    "label_scripts": {"cpu": "cpu", _OTHER: "parallel"},
    "steer_route": {"cpu": "cpu", "cuda": "triton"},
    "tally": {"cpu": "cpu"},
}


def chosen(operation: str, device: torch.device) -> str:
    """Name the implementation that runs an operation on a device.

    Args:
        operation: A folder of `polyglyph.kernels`.
        device: Where the tensors are.

    Raises:
        StartupError: `POLYGLYPH_KERNELS` names no operation, no implementation of it that there is, or one for another
            device.
    """
    forced = _forced(os.environ.get(VARIABLE, "")).get(operation)
    if forced is not None and not _can_run(forced, device):
        raise StartupError(
            f"{VARIABLE} forces '{forced}' for {operation}, which cannot run where the model does ({device.type}); "
            "leave it out, or force 'reference'"
        )
    by_device = _BY_DEVICE[operation]
    return forced or by_device.get(device.type) or by_device.get(_OTHER, "reference")


def implementation(operation: str, device: torch.device) -> Any:
    """Import what runs an operation on a device: no other machine needs Triton, or to compile for a CPU."""
    return _implementation(operation, device.type)


def load(operation: str, name: str) -> Any:
    """Import an implementation by its name."""
    return import_module(f"polyglyph.kernels.{operation}.{name}")


@cache
def _implementation(operation: str, device_type: str) -> Any:
    return load(operation, chosen(operation, torch.device(device_type)))


def _can_run(name: str, device: torch.device) -> bool:
    """Compiled code reads memory by address: on another device's it would end the process."""
    if name == "cpu":
        return bool(device.type == "cpu")
    return bool(name != "triton" or device.type != "cpu" or os.environ.get("TRITON_INTERPRET") == "1")


@cache
def _forced(text: str) -> Mapping[str, str]:
    """Read `reference`, which means every operation, or `steer_route=reference,tally=cpu`."""
    forced: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        operation, is_named, name = part.partition("=")
        if not is_named:
            operation, name = "*", part
        operations = IMPLEMENTATIONS if operation == "*" else (operation,)
        for each in operations:
            if name not in IMPLEMENTATIONS.get(each, ()):
                raise StartupError(_explain(part))
            forced[each] = name
    return forced


def _explain(part: str) -> str:
    known = "; ".join(f"{operation}: {', '.join(names)}" for operation, names in IMPLEMENTATIONS.items())
    return f"{VARIABLE} expects OPERATION=NAME, comma-separated, or 'reference' for all; '{part}' is neither ({known})"
