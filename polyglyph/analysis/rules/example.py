"""Examples: what rules are fitted on, development items or text that has no part in a benchmark."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.rules.rule import Rule, Seen

NUM_FOLDS = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class Example:
    """One question whose source script is known.

    Attributes:
        entity: What it is about; examples of one entity are in one fold.
        question: The user's text.
        query_script: Its script.
        source_script: What is to be guessed.
        seen: What a first pass showed; None where there was none.
    """

    entity: str
    question: str
    query_script: str
    source_script: str
    seen: Seen | None = None


def example_of(item: Item, seen: Seen | None = None) -> Example:
    """Give an item as an example."""
    return Example(
        entity=item.entity,
        question=item.question,
        query_script=item.target_script,
        source_script=item.source_script,
        seen=seen,
    )


def guesses_out_of_fold(examples: Sequence[Example], fit: Callable[[Sequence[Example]], Rule]) -> list[str | None]:
    """Guess every example by a rule fitted without its entity, in the order of the examples.

    Args:
        examples: Of two entities at least.
        fit: Makes the rule.
    """
    guesses: list[str | None] = [None] * len(examples)
    for fold in _folds(examples):
        held_out = set(fold)
        rule = fit([example for index, example in enumerate(examples) if index not in held_out])
        for index in fold:
            example = examples[index]
            guesses[index] = rule.guess(example.question, query_script=example.query_script, seen=example.seen)
    return guesses


def _folds(examples: Sequence[Example]) -> Iterator[list[int]]:
    """Deal entities into folds, in an order that their names' digests draw."""
    entities = sorted({example.entity for example in examples}, key=lambda name: sha256(name.encode()).digest())
    num_folds = min(NUM_FOLDS, len(entities))
    place = {entity: index % num_folds for index, entity in enumerate(entities)}
    for fold in range(num_folds):
        yield [index for index, example in enumerate(examples) if place[example.entity] == fold]
