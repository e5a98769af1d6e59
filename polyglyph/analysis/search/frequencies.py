"""Frequencies: how often each expert is selected on tokens of each script, from a server's own stats.

Letters of shapes: S scripts, L MoE layers, E experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.quantities.information import information_gain_L
from polyglyph.analysis.search.errors import SearchError
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.sums import SUMMED, GroupSums


@dataclass(frozen=True, eq=False, kw_only=True)
class ScriptFrequencies:
    """Selection frequencies a(layer, expert; script) of unsteered text.

    Attributes:
        scripts: The scripts, sorted.
        frequencies_SLE: float64, 0 to 1; the sum over experts is the number selected per token.
        num_tokens: Tokens counted of each script.
        model_fingerprint: The model that was counted.
        stats_sha256: Digest of the stats, for provenance.
    """

    scripts: tuple[str, ...]
    frequencies_SLE: NDArray[np.float64]
    num_tokens: tuple[int, ...]
    model_fingerprint: str
    stats_sha256: str

    def of(self, script: str) -> NDArray[np.float64]:
        """Give a script's frequencies, float64 [layers, experts].

        Raises:
            SearchError: The stats have no such script.
        """
        frequencies_LE: NDArray[np.float64] = self.frequencies_SLE[self._index(script)]
        return frequencies_LE

    def mean_of_others(self, script: str) -> NDArray[np.float64]:
        """Give the mean over the other scripts, each weighted alike, float64 [layers, experts].

        Raises:
            SearchError: The stats have no such script, or no other.
        """
        if len(self.scripts) < 2:
            raise SearchError(f"expected stats of two scripts or more, got {self.scripts[0]} only")
        mean_LE: NDArray[np.float64] = np.delete(self.frequencies_SLE, self._index(script), axis=0).mean(axis=0)
        return mean_LE

    @cached_property
    def mean_LE(self) -> NDArray[np.float64]:
        """The mean over all scripts, each weighted alike: what random controls are matched on."""
        mean_LE: NDArray[np.float64] = self.frequencies_SLE.mean(axis=0)
        return mean_LE

    @cached_property
    def information_L(self) -> NDArray[np.float64]:
        """Information between script and selected expert over the scripts' entropy, 0 to 1, of each layer."""
        if len(self.scripts) < 2:
            return np.zeros(self.frequencies_SLE.shape[1])
        return information_gain_L(self.frequencies_SLE)

    def _index(self, script: str) -> int:
        if script not in self.scripts:
            raise SearchError(
                f"the stats have no tokens in {script}, only in {', '.join(self.scripts)}: profile text of that script"
            )
        return self.scripts.index(script)


def script_frequencies(
    stats: LoadedStats, scripts: Sequence[str], *, model: ModelBinding | None = None, tag: str | None = None
) -> ScriptFrequencies:
    """Sum unsteered groups by token script; request script, phase and tag are summed away.

    Args:
        stats: As read from a file or an export.
        scripts: ISO 15924 codes that must be there.
        model: The model that plans are made for; stats of another are refused.
        tag: Only groups with this tag; None for all.

    Raises:
        SearchError: The stats are of another model, do not tell token scripts, plans or the asked tag apart, or a
            script has no tokens.
    """
    _check(stats, model, tag=tag)
    names = tuple(sorted(set(scripts)))
    found = [group for group in stats.groups if not group.key.plan and tag in {None, group.key.tag}]
    sums = {name: [group for group in found if group.key.script == name] for name in names}
    tokens = {name: sum(group.tokens for group in groups) for name, groups in sums.items()}
    empty = [name for name in names if not tokens[name]]
    if empty or not names:
        there = sorted({group.key.script for group in found if group.tokens})
        raise SearchError(
            f"the stats hold no unsteered tokens in {', '.join(empty) or 'any script'}"
            f"{'' if tag is None else f' with tag {tag!r}'}; they hold {', '.join(there) or 'none at all'}: profile "
            "text of every script"
        )
    return ScriptFrequencies(
        scripts=names,
        frequencies_SLE=np.stack([_selected(sums[name]) / tokens[name] for name in names]),
        num_tokens=tuple(tokens[name] for name in names),
        model_fingerprint=stats.header.model_fingerprint,
        stats_sha256=stats.digest,
    )


def _check(stats: LoadedStats, model: ModelBinding | None, *, tag: str | None) -> None:
    header = stats.header
    if model is not None and (header.model_fingerprint, header.layers, header.experts) != (
        model.fingerprint,
        model.layers,
        model.experts,
    ):
        raise SearchError(
            f"the stats are of another model: expected {model.layers} layers of {model.experts} experts, "
            f"{model.fingerprint}; got {header.layers} of {header.experts}, {header.model_fingerprint}"
        )
    for column in ("script", "plan", *(["tag"] if tag is not None else [])):
        if any(getattr(group.key, column) == SUMMED for group in stats.groups):
            raise SearchError(
                f"the stats have summed away the column '{column}', which is needed here: pull them with --by {column}"
            )


def _selected(groups: Sequence[GroupSums]) -> NDArray[np.int64]:
    total_LE: NDArray[np.int64] = np.sum([group.selected_LE for group in groups], axis=0)
    return total_LE
