"""The server's sums by tag, before and after a run."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from polyglyph.clients.errors import ApiKeyError
from polyglyph.clients.profile.conservation import Counted, Reconciliation, counted_by_tag, is_settled, reconcile
from polyglyph.clients.profile.usage import Usage
from polyglyph.contract.errors import AdminKeyError, PolyglyphError

if TYPE_CHECKING:
    from polyglyph.clients.async_client import AsyncPolyglyph

NUM_LOOKS = 10
LOOK_AGAIN_S = 0.5
"""How often, and how long apart, the sums are read until everything that was sent is in them."""


class ServerSums:
    """The sums as they were before the run, or why they cannot be read.

    Attributes:
        closed: Why the sums cannot be read; empty when they can.
    """

    def __init__(self, client: "AsyncPolyglyph", before: Mapping[str, Counted], closed: str) -> None:
        self.closed = closed
        self._client = client
        self._before = before

    @classmethod
    async def read(cls, client: "AsyncPolyglyph") -> Self:
        """Read the sums before a run."""
        try:
            return cls(client, counted_by_tag(await client.stats(by="tag")), "")
        except (AdminKeyError, ApiKeyError) as error:
            return cls(client, {}, str(error))

    async def reconcile(
        self, usage: Mapping[str, Usage], *, selections_per_token: int, is_unsure: bool
    ) -> tuple[Reconciliation, ...]:
        """Compare the sums' growth with the usage; empty when there is nothing to compare, or `closed` says why not."""
        found: tuple[Reconciliation, ...] = ()
        for look in range(NUM_LOOKS if usage and not self.closed else 0):
            await asyncio.sleep(LOOK_AGAIN_S if look else 0)
            try:
                after = counted_by_tag(await self._client.stats(by="tag"))
            except PolyglyphError as error:
                self.closed = str(error)
                continue
            self.closed = ""
            found = reconcile(
                self._before, after, usage, selections_per_token=selections_per_token, is_unsure=is_unsure
            )
            if is_settled(found):
                break
        return found
