"""The asynchronous Python client; the same surface as the synchronous one, awaited."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import httpx

from polyglyph.clients import calls
from polyglyph.clients.answers import ExpertSetEntry, ImportedStats, LoadedModel, PlanEntry, Validation
from polyglyph.clients.calls import Call
from polyglyph.clients.errors import unreachable
from polyglyph.clients.keys import DEFAULT_TIMEOUT_S, DEFAULT_URL, Keys
from polyglyph.clients.stats.filters import StatsFilters
from polyglyph.clients.stats.receiving import receiving
from polyglyph.clients.stats.sending import chunks_of, sendable
from polyglyph.contract.expert_set import ExpertSet
from polyglyph.contract.exports.formats import Format, format_of
from polyglyph.contract.exports.manifest import Manifest
from polyglyph.contract.plan import Plan
from polyglyph.contract.policy import Policy
from polyglyph.contract.stats import Stats

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")


class AsyncPolyglyph:
    """A server, seen from asyncio; the same surface as `Polyglyph`, awaited.

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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._keys = Keys(api_key, admin_key)
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(timeout=timeout_s, transport=transport)
        self.plans = AsyncPlans(self)
        self.expert_sets = AsyncExpertSets(self)
        self.policy = AsyncPolicyOf(self)

    @cached_property
    def openai(self) -> "AsyncOpenAI":
        """The ordinary asynchronous OpenAI client of this server."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=self._keys.for_openai, timeout=self._timeout_s)

    async def validate(self, *, plan: Plan | None = None, steering: Any = None) -> Validation:
        """Try a plan or a `steering` field against the loaded model; nothing is changed."""
        return await self.send(calls.validate(plan=plan, steering=steering))

    async def schema(self) -> dict[str, Any]:
        """Give the JSON Schemas of plan, policy, expert set, request and response fields."""
        return await self.send(calls.get_schema())

    async def model(self) -> LoadedModel:
        """Give what is loaded, and the hooks of every worker."""
        return await self.send(calls.get_model())

    async def detokenize(self, token_ids: Iterable[int]) -> str:
        """Give the text of tokens, such as `trace.token_ids`; what is no whole character reads U+FFFD."""
        return await self.send(calls.detokenize(int(token) for token in token_ids))

    async def stats(self, **filters: Unpack[StatsFilters]) -> Stats:
        """Give the sums since the last reset; filters are those of `GET /v1/routing/stats`, such as `script="Cyrl"`."""
        return await self.send(calls.get_stats(filters))

    async def pull_stats(
        self,
        path: str | Path,
        *,
        format: Format | None = None,  # noqa: A002 - the word of the route
        **filters: Unpack[StatsFilters],
    ) -> Manifest:
        """Save the sums as a file, and its manifest beside it; see `Polyglyph.pull_stats`."""
        target = Path(path)
        call = calls.get_export(format or format_of(target), filters)
        with receiving(target) as receiver:
            async with self._answered(call) as response:
                receiver.begin(response)
                async for chunk in response.aiter_bytes():
                    receiver.write(chunk)
        return receiver.manifest

    async def import_stats(self, path: str | Path) -> ImportedStats:
        """Add a stats file's sums to the server's; see `Polyglyph.import_stats`."""
        call = calls.import_stats()
        with sendable(Path(path)) as file:
            size = file.stat().st_size
            async with self._answered(call, chunks_of(file), num_bytes=size) as response:
                return call.result(response)

    async def reset_stats(self) -> None:
        """Set all sums to zero."""
        await self.send(calls.reset_stats())

    async def send(self, call: Call[T]) -> T:
        """Send one call and read its answer; raises what `Polyglyph.send` raises."""
        try:
            response = await self._http.request(
                call.method,
                self.url + call.path,
                json=call.body,
                params=call.params,
                headers=self._keys.headers(needs_admin=call.needs_admin),
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise unreachable(self.url, error) from error
        return call.result(response)

    @asynccontextmanager
    async def _answered(
        self, call: Call[Any], content: AsyncIterator[bytes] | None = None, *, num_bytes: int = 0
    ) -> AsyncIterator[httpx.Response]:
        """Send a call and give its answer, whose body is still to be read unless the call carried a file."""
        headers = self._keys.headers(needs_admin=call.needs_admin)
        if content is not None:
            headers["Content-Length"] = str(num_bytes)
        request = self._http.build_request(
            call.method, self.url + call.path, params=call.params, headers=headers, content=content
        )
        try:
            response = await self._http.send(request, stream=True)
            if response.is_error or content is not None:
                await response.aread()
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise unreachable(self.url, error) from error
        async with aclosing(response):
            call.check(response)
            yield response

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncPlans:
    """The server's registry of plans, awaited."""

    def __init__(self, client: AsyncPolyglyph) -> None:
        self._client = client

    async def list(self) -> tuple[PlanEntry, ...]:
        """List the plans by name."""
        return await self._client.send(calls.list_plans())

    async def get(self, name: str) -> Plan:
        """Fetch a plan by name or fingerprint."""
        return await self._client.send(calls.get_plan(name))

    async def put(self, plan: Plan) -> None:
        """Register a plan under its name; a name in use is repointed."""
        await self._client.send(calls.put_plan(plan))

    async def delete(self, name: str) -> None:
        """Take a name out of the registry; the content stays reachable by fingerprint."""
        await self._client.send(calls.delete_plan(name))


class AsyncExpertSets:
    """The server's registry of expert sets, awaited."""

    def __init__(self, client: AsyncPolyglyph) -> None:
        self._client = client

    async def list(self) -> tuple[ExpertSetEntry, ...]:
        """List the expert sets by name."""
        return await self._client.send(calls.list_expert_sets())

    async def get(self, name: str) -> ExpertSet:
        """Fetch an expert set by name."""
        return await self._client.send(calls.get_expert_set(name))

    async def put(self, experts: ExpertSet) -> None:
        """Register an expert set under its name, in the place of what stands there."""
        await self._client.send(calls.put_expert_set(experts))

    async def delete(self, name: str) -> None:
        """Take an expert set out of the registry."""
        await self._client.send(calls.delete_expert_set(name))


class AsyncPolicyOf:
    """The server's policy, awaited."""

    def __init__(self, client: AsyncPolyglyph) -> None:
        self._client = client

    async def get(self) -> Policy:
        """Fetch the policy."""
        return await self._client.send(calls.get_policy())

    async def put(self, policy: Policy) -> None:
        """Replace the policy."""
        await self._client.send(calls.put_policy(policy))
