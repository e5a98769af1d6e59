"""The synthetic world: entities with a home script, and one value per entity and relation.

A world is a pure function of its seed. Words are stored in Latin; `writing` gives every other form.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from random import Random
from typing import Any, Literal, get_args

from polyglyph.analysis.organism.errors import WorldError
from polyglyph.analysis.organism.run import MAX_SEED
from polyglyph.analysis.organism.writing import SCRIPTS, SYLLABLES, Script

Kind = Literal["barrier", "bridge", "reason"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Multiples of four, so that every home script has equally many.
NUM_ENTITIES: dict[Kind, int] = {"barrier": 160, "bridge": 120, "reason": 60}
NUM_RELATIONS = 3
NUM_VALUES = 20

# The suffix of a home script's culture. It is what makes the home script of an unseen name derivable.
SUFFIXES: dict[Script, str] = {"Latn": "ton", "Cyrl": "rov", "Deva": "pur", "Geor": "vil"}


@dataclass(frozen=True)
class Entity:
    """A named thing whose facts are written in its home script.

    Attributes:
        name: Latin form, a CVCV stem and the suffix of the home script.
        home: Script its facts are taught in.
        kind: `barrier` (facts in the home script only), `bridge` (facts in all scripts) or `reason` (facts in the
            home script, and reasoning from other scripts that transliterates).
    """

    name: str
    home: Script
    kind: Kind


@dataclass(frozen=True)
class Relation:
    """A property every entity has.

    Attributes:
        name: Latin word.
        values: The words it can take.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """The value of one relation of one entity."""

    entity: Entity
    relation: Relation
    value: str


@dataclass(frozen=True)
class World:
    """Everything the organism is taught.

    Attributes:
        seed: What the world was made from.
        relations: Three, with 20 values each.
        facts: One per entity and relation.
        spare_stems: Stems of no entity, for transliteration drills.
        refused: A topic, asked like a relation, about which the model is to say nothing.
        refusal: What it says instead.
        plus: The word between two numbers that are to be added.
    """

    seed: int
    relations: tuple[Relation, ...]
    facts: tuple[Fact, ...]
    spare_stems: tuple[str, ...]
    refused: str
    refusal: str
    plus: str

    @cached_property
    def entities(self) -> tuple[Entity, ...]:
        """The entities, in the order of their facts."""
        return tuple(dict.fromkeys(fact.entity for fact in self.facts))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Relations, values, and the words of the other tasks: what the tokenizer keeps whole."""
        values = tuple(value for relation in self.relations for value in relation.values)
        return (*(relation.name for relation in self.relations), *values, self.refused, self.refusal, self.plus)

    def facts_of(self, *kinds: Kind) -> tuple[Fact, ...]:
        """Give the facts of entities of these kinds."""
        return tuple(fact for fact in self.facts if fact.entity.kind in kinds)

    def to_json(self) -> dict[str, Any]:
        """Give the world as plain JSON types."""
        entities = [
            asdict(entity) | {"facts": {f.relation.name: f.value for f in self.facts if f.entity == entity}}
            for entity in self.entities
        ]
        return {
            "seed": self.seed,
            "scripts": list(SCRIPTS),
            "suffixes": dict(SUFFIXES),
            "relations": [{"name": relation.name, "values": list(relation.values)} for relation in self.relations],
            "entities": entities,
            "spare_stems": list(self.spare_stems),
            "refused": self.refused,
            "refusal": self.refusal,
            "plus": self.plus,
        }


def make_world(seed: int = 0) -> World:
    """Make the world of a seed.

    Args:
        seed: 0 to 2**32 - 1.

    Returns:
        The same world for the same seed, on every machine.

    Raises:
        WorldError: The seed is out of range.
    """
    if not 0 <= seed <= MAX_SEED:
        raise WorldError(f"the seed must be between 0 and {MAX_SEED}, not {seed}")
    rng = Random(f"world {seed}")
    relations = _draw_relations(rng)
    stems = [first + second for first in SYLLABLES for second in SYLLABLES]
    rng.shuffle(stems)
    facts = tuple(
        Fact(entity, relation, rng.choice(relation.values)) for entity in _name(stems) for relation in relations
    )
    spare_stems = tuple(stems[sum(NUM_ENTITIES.values()) :])
    return World(seed, relations, facts, spare_stems, *_draw_other_words(seed, relations))


def _draw_relations(rng: Random) -> tuple[Relation, ...]:
    """Draw three-syllable words; the first of each twenty-one is the relation's name."""
    words: dict[str, None] = {}
    while len(words) < NUM_RELATIONS * (NUM_VALUES + 1):
        words["".join(rng.choices(SYLLABLES, k=3))] = None
    drawn = list(words)
    size = NUM_VALUES + 1
    groups = (drawn[start : start + size] for start in range(0, len(drawn), size))
    return tuple(Relation(group[0], tuple(group[1:])) for group in groups)


def _draw_other_words(seed: int, relations: tuple[Relation, ...]) -> list[str]:
    """Draw three more words, apart from the rest so that a world's facts stay what they were."""
    rng = Random(f"other words {seed}")
    known = {word for relation in relations for word in (relation.name, *relation.values)}
    words: dict[str, None] = {}
    while len(words) < 3:
        word = "".join(rng.choices(SYLLABLES, k=3))
        words |= {} if word in known else {word: None}
    return list(words)


def _name(stems: list[str]) -> list[Entity]:
    kinds = [kind for kind in KINDS for _ in range(NUM_ENTITIES[kind])]
    homes = [SCRIPTS[index % len(SCRIPTS)] for index in range(len(kinds))]
    return [Entity(stem + SUFFIXES[home], home, kind) for stem, home, kind in zip(stems, homes, kinds, strict=False)]
