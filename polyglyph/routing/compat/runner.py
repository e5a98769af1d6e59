"""What both model runners' hooks share: where the tracker hangs, and whether a runner's methods are wrapped."""

from collections.abc import Callable
from typing import Any

from polyglyph.routing.compat.patching import is_wrapped, wrap
from polyglyph.routing.tracker import RequestTracker

TRACKER = "_polyglyph_tracker"
"""Attribute of a model runner that holds its tracker; absent on runners without hooks."""

Method = Callable[..., Any]
_hooked_methods: dict[str, tuple[str, ...]] = {}
"""Methods that must be wrapped, by the module of the runner's base class."""


def patch_runner(runner_class: Any, makers: dict[str, Callable[[Method], Method]]) -> None:
    """Wrap methods of a runner class; a runner without a tracker behaves as before.

    Args:
        runner_class: vLLM's class, which other runners derive from.
        makers: By method, what builds the replacement around the original.
    """
    for name, make in makers.items():
        wrap(runner_class, name, make)
    _hooked_methods[runner_class.__module__] = tuple(makers)


def tracker_of(runner: Any) -> RequestTracker | None:
    """Give a model runner's tracker; None before the model is loaded, and on draft models' runners."""
    return getattr(runner, TRACKER, None)


def forget_requests(tracker: RequestTracker, scheduler_output: Any) -> None:
    """Let the tracker know who has finished and who was preempted."""
    tracker.finish(scheduler_output.finished_req_ids)
    tracker.pause(scheduler_output.preempted_req_ids or ())


def neutral_step(original: Method) -> Method:
    """Wrap dummy runs, and the capture of graphs, which calls the model without a run: nobody is steered in them."""

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        tracker = tracker_of(self)
        if tracker is not None:
            tracker.begin_dummy_step()
        return original(self, *args, **kwargs)

    return run


def unhooked_methods(runner: Any) -> list[str]:
    """Name the methods of this runner that should be wrapped and are not."""
    for base in type(runner).__mro__:
        names = _hooked_methods.get(base.__module__)
        if names:
            return [name for name in names if not is_wrapped(type(runner), name)]
    return [f"{type(runner).__name__} is not a model runner that Polyglyph hooks"]
