"""The rule `entities`: names tell where they are from, by a table of word endings that development items taught."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.analysis.rules.errors import RuleError
from polyglyph.analysis.rules.example import Example
from polyglyph.analysis.rules.rule import FirstPass, Seen
from polyglyph.analysis.statistics.wilson import Score
from polyglyph.contract.entity_guess import EntityGuess
from polyglyph.contract.plan import Plan
from polyglyph.routing.scripts import entity_script, romanised_words

SHORTEST, LONGEST = 2, 8
"""Letters of a suffix."""
LEAST_PURITY = 0.6
"""Least lower Wilson bound of the share of a suffix's entities that are of one source script."""


@dataclass(frozen=True)
class EntitiesRule:
    """Guesses by the tables that a server's policy takes, word for word.

    Attributes:
        table: Words and suffixes with their source scripts.
        name: Of the rule.
    """

    table: EntityGuess
    name: str = "entities"

    @property
    def first_pass(self) -> FirstPass | None:
        """None: the question is enough."""
        return None

    @property
    def plans(self) -> Mapping[Pair, Plan]:
        """Empty: it chooses among the plans it is given."""
        return {}

    def guess(self, question: str, *, query_script: str, seen: Seen | None = None) -> str | None:
        """Guess from the question's words; see `Rule.guess`."""
        del query_script, seen
        words = romanised_words(question)
        return self.table.source_of(entities=words.entities, others=words.others, entity_script=entity_script(question))


def fit_entities(examples: Sequence[Example], *, words: Mapping[str, str] | None = None) -> EntitiesRule:
    """Learn which endings of romanised words tell the source script.

    A suffix is taken when most of the distinct entities in whose questions a word ends in it are of one source script,
    and enough of them (Wilson). Longer ones are taken only where they say something else than the one they end in.

    Args:
        examples: Questions with their source scripts; what is the same in all of them tells nothing and is left out.
        words: Source scripts of whole romanised words, such as a gazetteer's; nothing is learned from it.

    Raises:
        RuleError: No ending tells anything, and there are no words.
    """
    suffixes = _telling(_by_suffix(examples))
    if not suffixes and not words:
        raise RuleError(
            f"no word ending tells the source script in {len(examples)} examples: their names do not look alike, so "
            "there is nothing to guess by"
        )
    return EntitiesRule(EntityGuess(kind="entities", words=dict(words or {}), suffixes=suffixes))


def _by_suffix(examples: Sequence[Example]) -> dict[str, dict[str, str]]:
    """Give, by suffix, the source script of every entity that it was met with."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for example in examples:
        words = romanised_words(example.question)
        for word in (*words.entities, *words.others):
            for size in range(SHORTEST, min(LONGEST, len(word)) + 1):
                found[word[-size:]][example.entity] = example.source_script
    return found


def _telling(by_suffix: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    taken: dict[str, str] = {}
    for suffix in sorted(by_suffix, key=lambda suffix: (len(suffix), suffix)):
        sources = Counter(by_suffix[suffix].values())
        source, count = sources.most_common(1)[0]
        low, _ = Score(count, sources.total()).interval
        if low >= LEAST_PURITY and _said_by(suffix, taken) != source:
            taken[suffix] = source
    return taken


def _said_by(suffix: str, taken: Mapping[str, str]) -> str | None:
    """Give what the longest suffix of a suffix says."""
    ends = (suffix[start:] for start in range(1, len(suffix)))
    return next((taken[end] for end in ends if end in taken), None)
