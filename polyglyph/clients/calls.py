"""The server's own routes as data: what to send, and how to read the answer.

Both clients, sync and async, send these; nothing here does I/O.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from polyglyph.clients.answers import (
    ExpertSetEntry,
    ExpertSetList,
    ImportedStats,
    LoadedModel,
    PlanEntry,
    PlanList,
    Validation,
)
from polyglyph.clients.errors import AnswerError, body_of, error_of
from polyglyph.clients.stats.filters import StatsFilters, parameters_of
from polyglyph.contract.expert_set import ExpertSet
from polyglyph.contract.exports.formats import Format
from polyglyph.contract.plan import Plan
from polyglyph.contract.policy import Policy
from polyglyph.contract.stats import Stats

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """One request to the server and the reader of its answer.

    Attributes:
        method: HTTP method.
        path: Path below the server's URL.
        read: Turns the answer's text into the result.
        body: JSON to send, if any.
        params: Query parameters.
        needs_admin: The server wants the admin key.
    """

    method: str
    path: str
    read: Callable[[str], T]
    body: Any = None
    params: dict[str, str] | None = None
    needs_admin: bool = False

    def result(self, response: httpx.Response) -> T:
        """Read the answer.

        Raises:
            RequestError: The server refused.
            AnswerError: The server failed, or is no Polyglyph server.
        """
        self.check(response)
        return self.read(response.text)

    def check(self, response: httpx.Response) -> None:
        """Refuse an error's answer; raises what `result` raises."""
        if response.is_error:
            raise error_of(response.status_code, body_of(response.text), url=str(response.url))


def detokenize(token_ids: Iterable[int]) -> Call[str]:
    """Give the text of tokens, by vLLM's own route."""
    return Call(method="POST", path="/detokenize", read=_read_prompt, body={"tokens": list(token_ids)})


def list_plans() -> Call[tuple[PlanEntry, ...]]:
    """List the registry."""
    return Call(method="GET", path="/v1/steering/plans", read=_read_plan_list)


def get_plan(name: str) -> Call[Plan]:
    """Fetch a plan by name or fingerprint."""
    return Call(method="GET", path=_plan_path(name), read=_reader(Plan))


def put_plan(plan: Plan) -> Call[None]:
    """Register a plan under its name, or point the name to this content."""
    return Call(method="PUT", path=_plan_path(plan.name), read=_ignore, body=plan.to_json(), needs_admin=True)


def delete_plan(name: str) -> Call[None]:
    """Take a name out of the registry."""
    return Call(method="DELETE", path=_plan_path(name), read=_ignore, needs_admin=True)


def list_expert_sets() -> Call[tuple[ExpertSetEntry, ...]]:
    """List the registry of expert sets."""
    return Call(method="GET", path="/v1/routing/expert-sets", read=_read_expert_set_list)


def get_expert_set(name: str) -> Call[ExpertSet]:
    """Fetch an expert set by name."""
    return Call(method="GET", path=_expert_set_path(name), read=_reader(ExpertSet))


def put_expert_set(experts: ExpertSet) -> Call[None]:
    """Register an expert set under its name, in the place of what stands there."""
    path = _expert_set_path(experts.name)
    return Call(method="PUT", path=path, read=_ignore, body=experts.to_json(), needs_admin=True)


def delete_expert_set(name: str) -> Call[None]:
    """Take an expert set out of the registry."""
    return Call(method="DELETE", path=_expert_set_path(name), read=_ignore, needs_admin=True)


def validate(*, plan: Plan | None, steering: Any) -> Call[Validation]:
    """Try a plan, or else a `steering` field, against the loaded model."""
    body = {"steering": steering} if plan is None else {"plan": plan.to_json()}
    return Call(method="POST", path="/v1/steering/validate", read=_reader(Validation), body=body)


def get_policy() -> Call[Policy]:
    """Fetch the policy."""
    return Call(method="GET", path="/v1/steering/policy", read=_reader(Policy))


def put_policy(policy: Policy) -> Call[None]:
    """Replace the policy."""
    body = policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Call(method="PUT", path="/v1/steering/policy", read=_ignore, body=body, needs_admin=True)


def get_schema() -> Call[dict[str, Any]]:
    """Fetch the JSON Schemas."""
    return Call(method="GET", path="/v1/steering/schema", read=_read_object)


def get_model() -> Call[LoadedModel]:
    """Fetch what is loaded and hooked."""
    return Call(method="GET", path="/v1/routing/model", read=_reader(LoadedModel))


def get_stats(filters: StatsFilters) -> Call[Stats]:
    """Fetch the sums since the last reset."""
    params = parameters_of(filters)
    return Call(method="GET", path="/v1/routing/stats", read=_reader(Stats), params=params, needs_admin=True)


def get_export(kind: Format, filters: StatsFilters) -> Call[None]:
    """Fetch the sums as a file; its manifest is in a header."""
    params = {"format": kind, **parameters_of(filters)}
    return Call(method="GET", path="/v1/routing/stats", read=_ignore, params=params, needs_admin=True)


def import_stats() -> Call[ImportedStats]:
    """Add a file's sums; the file is the body."""
    return Call(method="POST", path="/v1/routing/stats/import", read=_reader(ImportedStats), needs_admin=True)


def reset_stats() -> Call[None]:
    """Set all sums to zero."""
    return Call(method="POST", path="/v1/routing/stats/reset", read=_ignore, needs_admin=True)


def _plan_path(name: str) -> str:
    return f"/v1/steering/plans/{quote(name, safe='')}"


def _expert_set_path(name: str) -> str:
    return f"/v1/routing/expert-sets/{quote(name, safe='')}"


def _reader(kind: type[ModelT]) -> Callable[[str], ModelT]:
    def read(answer: str) -> ModelT:
        try:
            # As JSON, where an array may become a tuple, even strictly.
            return kind.model_validate_json(answer)
        except ValidationError as error:
            raise AnswerError(f"the server's answer is no {kind.__name__} that this client reads: {error}") from error

    return read


def _read_plan_list(answer: str) -> tuple[PlanEntry, ...]:
    return _reader(PlanList)(answer).data


def _read_expert_set_list(answer: str) -> tuple[ExpertSetEntry, ...]:
    return _reader(ExpertSetList)(answer).data


def _read_object(answer: str) -> dict[str, Any]:
    value = body_of(answer)
    if not isinstance(value, dict):
        raise AnswerError(f"expected a JSON object from the server, got {answer[:80]!r}")
    return value


def _read_prompt(answer: str) -> str:
    return str(_read_object(answer).get("prompt", ""))


def _ignore(answer: str) -> None:
    del answer
