"""The Python client: thin, typed access to the server's own routes beside the ordinary OpenAI client."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar, Unpack

import httpx

from polyglyph.clients import calls
from polyglyph.clients.answers import ExpertSetEntry, ImportedStats, LoadedModel, PlanEntry, Validation
from polyglyph.clients.calls import Call
from polyglyph.clients.errors import unreachable
from polyglyph.clients.keys import DEFAULT_TIMEOUT_S, DEFAULT_URL, Keys
from polyglyph.clients.stats.filters import StatsFilters
from polyglyph.clients.stats.receiving import receiving
from polyglyph.clients.stats.sending import sendable
from polyglyph.contract.expert_set import ExpertSet
from polyglyph.contract.exports.formats import Format, format_of
from polyglyph.contract.exports.manifest import Manifest
from polyglyph.contract.plan import Plan
from polyglyph.contract.policy import Policy
from polyglyph.contract.stats import Stats

if TYPE_CHECKING:
    from openai import OpenAI

T = TypeVar("T")


class Polyglyph:
    """A server, seen from Python.

    `client.openai` is the ordinary OpenAI client; steering goes in as `extra_body={"steering": ...}` and comes back
    through `steering_of(response)` and `routing_of(response)`.

    Args:
        url: Where the server listens, without `/v1`.
        api_key: The key of `--api-key`, if the server wants one.
        admin_key: The key of `--admin-key`, for what changes the server.
        timeout_s: Longest wait for an answer, in seconds.
        transport: How to reach the server's own routes; for tests.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        admin_key: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._keys = Keys(api_key, admin_key)
        self._timeout_s = timeout_s
        self._http = httpx.Client(timeout=timeout_s, transport=transport)
        self.plans = Plans(self)
        self.expert_sets = ExpertSets(self)
        self.policy = PolicyOf(self)

    @cached_property
    def openai(self) -> "OpenAI":
        """The ordinary OpenAI client of this server."""
        from openai import OpenAI

        return OpenAI(base_url=f"{self.url}/v1", api_key=self._keys.for_openai, timeout=self._timeout_s)

    def validate(self, *, plan: Plan | None = None, steering: Any = None) -> Validation:
        """Try a plan or a `steering` field against the loaded model; nothing is changed."""
        return self.send(calls.validate(plan=plan, steering=steering))

    def schema(self) -> dict[str, Any]:
        """Give the JSON Schemas of plan, policy, expert set, request and response fields."""
        return self.send(calls.get_schema())

    def model(self) -> LoadedModel:
        """Give what is loaded, and the hooks of every worker."""
        return self.send(calls.get_model())

    def detokenize(self, token_ids: Iterable[int]) -> str:
        """Give the text of tokens, such as `trace.token_ids`; what is no whole character reads U+FFFD."""
        return self.send(calls.detokenize(int(token) for token in token_ids))

    def stats(self, **filters: Unpack[StatsFilters]) -> Stats:
        """Give the sums since the last reset; filters are those of `GET /v1/routing/stats`, such as `script="Cyrl"`."""
        return self.send(calls.get_stats(filters))

    def pull_stats(
        self,
        path: str | Path,
        *,
        format: Format | None = None,  # noqa: A002 - the word of the route
        **filters: Unpack[StatsFilters],
    ) -> Manifest:
        """Save the sums as a file, and its manifest beside it as `NAME.manifest.json`.

        Args:
            path: The file; it appears when it is whole, and what stood there is replaced only then.
            format: How; what the file's name ends in unless named.
            filters: Which sums, as in `stats`.

        Raises:
            RequestError: The server refused, or the name says no format.
            AnswerError: The connection broke off, or something else than announced came.
            UnwritableFileError: The file cannot be written.
        """
        target = Path(path)
        call = calls.get_export(format or format_of(target), filters)
        with receiving(target) as receiver, self._answered(call) as response:
            receiver.begin(response)
            for chunk in response.iter_bytes():
                receiver.write(chunk)
        return receiver.manifest

    def import_stats(self, path: str | Path) -> ImportedStats:
        """Add a stats file's sums to the server's; the same sums are taken once until the next reset.

        Raises:
            InvalidStatsError: The file holds no stats, or not all of them.
            StatsMismatchError: They are of another model, or columns were summed away.
            ConflictError: They were imported already.
        """
        call = calls.import_stats()
        with sendable(Path(path)) as file, file.open("rb") as content, self._answered(call, content) as response:
            return call.result(response)

    def reset_stats(self) -> None:
        """Set all sums to zero."""
        self.send(calls.reset_stats())

    def send(self, call: Call[T]) -> T:
        """Send one call and read its answer.

        Raises:
            RequestError: The server refused; the subclass and `param` are the server's.
            ServerUnreachableError: Nothing answers.
            AnswerError: The server failed, or is no Polyglyph server.
        """
        try:
            response = self._http.request(
                call.method,
                self.url + call.path,
                json=call.body,
                params=call.params,
                headers=self._keys.headers(needs_admin=call.needs_admin),
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise unreachable(self.url, error) from error
        return call.result(response)

    @contextmanager
    def _answered(self, call: Call[Any], content: BinaryIO | None = None) -> Iterator[httpx.Response]:
        """Send a call and give its answer, whose body is still to be read unless the call carried a file."""
        headers = self._keys.headers(needs_admin=call.needs_admin)
        request = self._http.build_request(
            call.method, self.url + call.path, params=call.params, headers=headers, content=content
        )
        try:
            response = self._http.send(request, stream=True)
            if response.is_error or content is not None:
                response.read()
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise unreachable(self.url, error) from error
        with closing(response):
            call.check(response)
            yield response

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Plans:
    """The server's registry of plans."""

    def __init__(self, client: Polyglyph) -> None:
        self._client = client

    def list(self) -> tuple[PlanEntry, ...]:
        """List the plans by name."""
        return self._client.send(calls.list_plans())

    def get(self, name: str) -> Plan:
        """Fetch a plan by name or fingerprint."""
        return self._client.send(calls.get_plan(name))

    def put(self, plan: Plan) -> None:
        """Register a plan under its name; a name in use is repointed."""
        self._client.send(calls.put_plan(plan))

    def delete(self, name: str) -> None:
        """Take a name out of the registry; the content stays reachable by fingerprint."""
        self._client.send(calls.delete_plan(name))


class ExpertSets:
    """The server's registry of expert sets."""

    def __init__(self, client: Polyglyph) -> None:
        self._client = client

    def list(self) -> tuple[ExpertSetEntry, ...]:
        """List the expert sets by name."""
        return self._client.send(calls.list_expert_sets())

    def get(self, name: str) -> ExpertSet:
        """Fetch an expert set by name."""
        return self._client.send(calls.get_expert_set(name))

    def put(self, experts: ExpertSet) -> None:
        """Register an expert set under its name, in the place of what stands there."""
        self._client.send(calls.put_expert_set(experts))

    def delete(self, name: str) -> None:
        """Take an expert set out of the registry."""
        self._client.send(calls.delete_expert_set(name))


class PolicyOf:
    """The server's policy."""

    def __init__(self, client: Polyglyph) -> None:
        self._client = client

    def get(self) -> Policy:
        """Fetch the policy."""
        return self._client.send(calls.get_policy())

    def put(self, policy: Policy) -> None:
        """Replace the policy."""
        self._client.send(calls.put_policy(policy))
