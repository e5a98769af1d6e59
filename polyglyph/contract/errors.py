"""Everything Polyglyph refuses, as one tree.

PolyglyphError
├── RequestError                 400, one request is wrong
│   ├── ImpossibleEditError      400, an edit that the loaded model cannot honour
│   │   ├── PlanConflictError    400, plans or dials that contradict each other
│   │   └── GuardedExpertError   400, a ban of an expert that a guard protects
│   ├── PlanMismatchError        400, a plan made for another model
│   ├── UnknownPlanError         404
│   ├── UnknownExpertSetError    404
│   ├── AdminKeyError            403
│   ├── InvalidStatsError        400, a file or body that holds no whole stats
│   ├── StatsMismatchError       400, sums that do not add up: of another model, shape or columns
│   ├── ConflictError            409, what the server holds stands against it
│   ├── BodyTooLargeError        413
│   └── BusyError                503, as many of these as the server does at once are under way
├── SteeringLostError            500, the engine did not take up what was asked: never served in silence
├── TraceLostError               503, the workers had to drop the trace that was asked for
├── GuessFailedError             503, the source script could not be guessed as the policy says
├── StorageError                 500, the server's store does not work
│   └── StorageUnavailableError  503, the store cannot be reached or written now
└── StartupError                 the server does not start
    ├── UnsupportedVllmError
    ├── UnsupportedModelError
    └── MissingHooksError
"""

from typing import Any, ClassVar


class PolyglyphError(Exception):
    """Root of the tree; its text says what was expected, what came and what to do."""


class RequestError(PolyglyphError):
    """A request that cannot be served as asked.

    Args:
        message: What was expected, what came, what to do.
        param: Path of the offending field, such as `steering.edits[2].value`.
    """

    status: ClassVar[int] = 400
    type: ClassVar[str] = "invalid_request_error"
    code: ClassVar[str] = "invalid_steering"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param

    def to_openai(self) -> dict[str, Any]:
        """Give the error body in OpenAI's shape."""
        return {"error": {"message": str(self), "type": self.type, "param": self.param, "code": self.code}}


class ImpossibleEditError(RequestError):
    """An edit that the loaded model cannot honour."""

    code = "impossible_edit"


class PlanConflictError(ImpossibleEditError):
    """Plans or dials that cannot be in force together, each possible by itself."""

    code = "plan_conflict"


class GuardedExpertError(ImpossibleEditError):
    """A ban, or a scale by 0, of an expert that a guard protects."""

    code = "guarded_expert"


class PlanMismatchError(RequestError):
    """A plan that was made for another model."""

    code = "plan_mismatch"


class UnknownPlanError(RequestError):
    """A plan name that the registry does not hold."""

    status = 404
    type = "not_found_error"
    code = "plan_not_found"


class UnknownExpertSetError(RequestError):
    """A name that the registry of expert sets does not hold."""

    status = 404
    type = "not_found_error"
    code = "expert_set_not_found"


class AdminKeyError(RequestError):
    """A caller without the admin key on a route that changes the server."""

    status = 403
    type = "permission_error"
    code = "admin_key_required"


class ConflictError(RequestError):
    """A change that something else on the server stands against."""

    status = 409
    type = "conflict_error"
    code = "conflict"


class InvalidStatsError(RequestError):
    """A file or a body that holds no stats, or not all of them."""

    code = "invalid_stats"


class StatsMismatchError(RequestError):
    """Sums that do not add up: of another model, another shape or other columns."""

    code = "stats_mismatch"


class BodyTooLargeError(RequestError):
    """A request body over `--max-body-bytes`."""

    status = 413
    code = "body_too_large"


class BusyError(RequestError):
    """As many requests of this kind as the server serves at once are under way."""

    status = 503
    type = "server_error"
    code = "busy"


class SteeringLostError(RequestError):
    """The engine finished a request without having taken up its steering."""

    status = 500
    type = "server_error"
    code = "steering_lost"


class TraceLostError(SteeringLostError):
    """The workers held too many traces at once and dropped this request's."""

    status = 503
    code = "trace_lost"


class GuessFailedError(RequestError):
    """The engine did not serve the probe that the policy guesses the source script by."""

    status = 503
    type = "server_error"
    code = "guess_failed"


class StorageError(RequestError):
    """A store that does not work: damaged, or not what the server left there."""

    status = 500
    type = "server_error"
    code = "storage_failed"


class StorageUnavailableError(StorageError):
    """A store that cannot be reached or written now: locked, full, or lost; another try may do."""

    status = 503
    code = "storage_unavailable"


class StartupError(PolyglyphError):
    """A reason not to start serving."""


class UnsupportedVllmError(StartupError):
    """A vLLM release that Polyglyph was not written for."""


class UnsupportedModelError(StartupError):
    """A model or engine setting whose routing cannot be reached."""


class MissingHooksError(StartupError):
    """A worker that lacks a hook on one of its MoE layers."""
