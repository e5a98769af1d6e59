"""What both model runners' hooks share: where the tracker hangs, and whether a runner's methods are wrapped."""

from typing import Any

from polyglyph.contract.steering import PAYLOAD_KEY, SteeringPayload
from polyglyph.routing.compat.patching import is_wrapped
from polyglyph.routing.tracker import RequestTracker

TRACKER = "_polyglyph_tracker"
"""Attribute of a model runner that holds its tracker; absent on runners without hooks."""

HOOKED_METHODS: dict[str, tuple[str, ...]] = {}
"""Methods that must be wrapped, by the module of the runner's base class; each runner's patch adds its own."""


def tracker_of(runner: Any) -> RequestTracker | None:
    """Give a model runner's tracker; None before the model is loaded, and on draft models' runners."""
    return getattr(runner, TRACKER, None)


def payload_of(sampling_params: Any) -> SteeringPayload | None:
    """Read the payload that the input processor attached.

    It was checked there, so a payload that does not parse is a fault of ours and not the caller's.
    """
    extra_args = getattr(sampling_params, "extra_args", None) or {}
    payload = extra_args.get(PAYLOAD_KEY)
    return None if payload is None else SteeringPayload.model_validate_json(payload)


def unhooked_methods(runner: Any) -> list[str]:
    """Name the methods of this runner that should be wrapped and are not."""
    for base in type(runner).__mro__:
        names = HOOKED_METHODS.get(base.__module__)
        if names:
            return [name for name in names if not is_wrapped(type(runner), name)]
    return [f"{type(runner).__name__} is not a model runner that Polyglyph hooks"]
