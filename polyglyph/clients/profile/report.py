"""The report at the end of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from polyglyph.clients.profile.conservation import Reconciliation
from polyglyph.clients.profile.document import Reason, Skip
from polyglyph.clients.profile.usage import Usage

NUM_TAGS = 10
"""Tags to name on a terminal; JSON names all."""


class Ending(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class ProfileReport:
    """What a run did.

    Attributes:
        corpus: What was read.
        num_files: Files that were read.
        num_ignored_files: Files of kinds that are not read.
        ending: How the run ended.
        failure: Why, if it failed.
        num_documents: Documents that were counted in this run.
        num_documents_before: Documents that an earlier run had counted.
        num_cut_documents: Documents sent in windows, because they are over the model's context.
        num_windows: Windows of these.
        usage: Tokens by tag.
        skipped: How much was skipped, by reason.
        examples: Some of it.
        num_maybe_twice: Documents that may be counted twice at most, in whole or in part: those in flight when earlier
            runs were cut off, and requests that were sent again after a lost answer.
        num_set_aside: Documents that an unfinished run had counted, which this one did not go on with.
        duration_s: Seconds from the first request to the last answer.
        reconciliations: A comparison with the server's sums for every tag; empty when there was none.
        unreconciled: Why there was none.
    """

    corpus: str
    num_files: int
    num_ignored_files: int
    ending: Ending
    failure: str
    num_documents: int
    num_documents_before: int
    num_cut_documents: int
    num_windows: int
    usage: Mapping[str, Usage]
    skipped: Mapping[Reason, int]
    examples: Mapping[Reason, list[Skip]]
    num_maybe_twice: int
    num_set_aside: int
    duration_s: float
    reconciliations: tuple[Reconciliation, ...]
    unreconciled: str

    @property
    def total(self) -> Usage:
        """Tokens of all tags."""
        return sum(self.usage.values(), Usage())

    @property
    def holds(self) -> bool:
        """Whether every comparison with the server's sums holds; true when there was none."""
        return all(found.holds for found in self.reconciliations)

    def to_json(self) -> dict[str, Any]:
        """Give the report as JSON values."""
        seconds = max(self.duration_s, 1e-9)
        return {
            "corpus": self.corpus,
            "files": self.num_files,
            "ignored_files": self.num_ignored_files,
            "ending": self.ending.value,
            "failure": self.failure or None,
            "documents": self.num_documents,
            "documents_before": self.num_documents_before,
            "cut_documents": self.num_cut_documents,
            "windows": self.num_windows,
            "tokens": _tokens(self.total),
            "tags": {tag: _tokens(usage) for tag, usage in sorted(self.usage.items())},
            "skipped": [self._skipped(reason, count) for reason, count in self.skipped.items()],
            "maybe_twice": self.num_maybe_twice,
            "set_aside": self.num_set_aside,
            "duration_s": round(self.duration_s, 3),
            "documents_per_s": round(self.num_documents / seconds, 2),
            "tokens_per_s": round(self.total.passed_tokens / seconds, 1),
            "conservation": [_reconciliation(found) for found in self.reconciliations],
            "conservation_holds": self.holds if self.reconciliations else None,
            "unreconciled": self.unreconciled or None,
        }

    def lines(self) -> Iterator[str]:
        """Give the report as lines of text."""
        total, seconds = self.total, max(self.duration_s, 1e-9)
        yield f"{self.corpus}: {self.ending}" + (f": {self.failure}" if self.failure else "")
        yield f"documents  {self.num_documents} counted" + _said(self.num_documents_before, "counted before")
        if self.num_cut_documents:
            yield f"windows    {self.num_windows}, of {self.num_cut_documents} documents over the model's context"
        cached = f", {total.cached_tokens} of them cached" if total.says_cached and total.requests else ""
        generated = _said(total.generated_tokens - total.requests, "generated and computed")
        yield f"tokens     {total.prompt_tokens} in prompts{cached}{generated}"
        rates = f"{self.num_documents / seconds:.1f} documents/s, {total.passed_tokens / seconds:.0f} tokens/s"
        yield f"duration   {self.duration_s:.1f} s, {rates}"
        yield f"skipped    {sum(self.skipped.values())}" + _said(
            self.num_ignored_files, "ignored by their kind", "file"
        )
        for reason, count in self.skipped.items():
            yield f"           {count} {reason}, such as"
            yield from (f"             {skip.place}: {skip.detail}" for skip in self.examples.get(reason, ()))
        if self.num_maybe_twice:
            yield f"twice      at most {self.num_maybe_twice} documents, in whole or in part"
        if self.num_set_aside:
            yield f"begun anew {self.num_set_aside} documents of an unfinished run had been counted: see --resume"
        yield from self._conservation()

    def _conservation(self) -> Iterator[str]:
        if not self.reconciliations:
            yield f"sums       not compared: {self.unreconciled}"
            return
        broken = [found for found in self.reconciliations if not found.holds]
        num_exact = sum(found.surplus == 0 and found.holds for found in self.reconciliations)
        yield f"sums       exact for {num_exact} of {len(self.reconciliations)} tags"
        named = (broken or list(self.reconciliations))[:NUM_TAGS]
        yield from (f"           {found}" for found in named)
        left = len(broken or self.reconciliations) - len(named)
        if left:
            yield f"           and {left} more"

    def _skipped(self, reason: Reason, count: int) -> dict[str, Any]:
        examples = [{"place": str(skip.place), "detail": skip.detail} for skip in self.examples.get(reason, ())]
        return {"reason": reason.value, "count": count, "examples": examples}


def _tokens(usage: Usage) -> dict[str, int | None]:
    cached = usage.cached_tokens if usage.says_cached else None
    return {
        "requests": usage.requests,
        "prompt": usage.prompt_tokens,
        "generated": usage.generated_tokens,
        "cached": cached,
        "computed": None if cached is None else usage.passed_tokens - cached,
    }


def _reconciliation(found: Reconciliation) -> dict[str, Any]:
    return {
        "tag": found.tag,
        "holds": found.holds,
        "sent": found.passed_tokens,
        "computed": found.counted.tokens,
        "cached": found.counted.cached_tokens,
        "selections": found.counted.selections,
        "surplus": found.surplus,
    }


def _said(count: int, words: str, thing: str = "") -> str:
    things = f" {thing}{'s' if count > 1 else ''}" if thing else ""
    return f", {count}{things} {words}" if count else ""
