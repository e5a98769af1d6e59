"""What the server counted under one tag.

Letters: P phases, L MoE layers, E experts.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyglyph.clients.answers import LoadedModel
from polyglyph.clients.errors import ApiKeyError
from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import NotCheckedError
from polyglyph.contract.errors import AdminKeyError
from polyglyph.contract.plan import PHASES
from polyglyph.contract.stats import Stats, StatsGroup

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

NUM_LOOKS = 10
LOOK_AGAIN_S = 0.3
"""How often, and how long apart, the sums are read until everything that was sent is in them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TagSums:
    """The sums of a tag.

    Attributes:
        num_groups: Groups that it has.
        tokens: Tokens that were computed.
        cached_tokens: Prompt tokens from the prefix cache.
        selected_PLE: int64, how often each expert was selected.
        uneven: The first group and layer whose selections are not top-k of that layer times the group's tokens.
    """

    num_groups: int
    tokens: int
    cached_tokens: int
    selected_PLE: "Array"
    uneven: str | None

    @property
    def passed_tokens(self) -> int:
        """Tokens that were computed or came from the prefix cache."""
        return self.tokens + self.cached_tokens


def sums_of(examination: Examination, tag: str, *, is_settled: Callable[[TagSums], bool]) -> TagSums:
    """Read a tag's sums, again until they are as expected or have had their time.

    Raises:
        NotCheckedError: The server does not show them, or had no groups left for this tag.
    """
    sums = _read(examination, tag)
    for _ in range(NUM_LOOKS):
        if is_settled(sums):
            return sums
        time.sleep(LOOK_AGAIN_S)
        sums = _read(examination, tag)
    if not is_settled(sums) and _stats(examination, "overflow").groups:
        raise NotCheckedError(
            "the stats have no groups left, so that these requests may have been counted in the group 'overflow'; "
            "reset the stats, or start the server with a larger --stats-max-groups"
        )
    return sums


def _read(examination: Examination, tag: str) -> TagSums:
    import numpy as np

    groups, model = _stats(examination, tag).groups, examination.model
    selected_PLE = np.zeros((len(PHASES), model.binding.layers, model.binding.experts), np.int64)
    for group in groups:
        selected_PLE[PHASES.index(str(group.phase))] += group.selected.to_numpy()
    return TagSums(
        num_groups=len(groups),
        tokens=sum(group.group_tokens for group in groups),
        cached_tokens=sum(group.cached_tokens for group in groups),
        selected_PLE=selected_PLE,
        uneven=next((fault for group in groups if (fault := _uneven(group, model))), None),
    )


def _uneven(group: StatsGroup, model: LoadedModel) -> str | None:
    counts_L = group.selected.to_numpy().sum(axis=1)
    for router in model.routers:
        if counts_L[router.layer] != router.top_k * group.group_tokens:
            return (
                f"request script {group.request_script}, script {group.script}, phase {group.phase}, MoE layer "
                f"{router.layer}: {counts_L[router.layer]} selections, expected {router.top_k} x {group.group_tokens} "
                "tokens"
            )
    return None


def _stats(examination: Examination, tag: str) -> Stats:
    if not examination.model.settings.stats:
        raise NotCheckedError("the server keeps no stats (--no-stats), which this check reads")
    try:
        return examination.probe.server.stats(tag=tag)
    except (AdminKeyError, ApiKeyError) as error:
        raise NotCheckedError(f"the stats are not open to this client, name the admin key: {error}") from error
