"""Summary: an atlas on one screen."""

from collections import Counter

from polyglyph.analysis.names.atlas import KINDS, Atlas
from polyglyph.analysis.names.question import CityQuestion
from polyglyph.analysis.names.script import SCRIPTS


def summarise_atlas(atlas: Atlas) -> str:
    """Describe an atlas: its cities by script and home, what guessing gives, and a fact in all of its scripts."""
    values = ", ".join(f"{relation.name} ({len(relation.values)} values)" for relation in atlas.relations)
    named = Counter(script for place in atlas.places for script in place.city.scripts)
    kinds = Counter((place.city.home, place.kind) for place in atlas.places)
    lines = [
        f"atlas {atlas.seed}: {len(atlas.places):,} cities, {len(atlas.facts):,} facts: {values}",
        "",
        "script  names  at home: barrier  bridge  reason  commonest country  commonest zone",
    ]
    for script in SCRIPTS:
        counts = "".join(f"{kinds[script, kind]:>8}" for kind in KINDS)
        lines.append(f"{script:<6}{named[script]:>7}{counts:>33}{_majority(atlas, script)}")
    fact = atlas.facts_of("barrier")[0]
    questions = (CityQuestion(fact=fact, script=script) for script in fact.place.city.scripts)
    return "\n".join(
        [*lines, "", f"a fact of {fact.home}:", *(f"{q.script}  {q.text} -> {q.answer}" for q in questions)]
    )


def _majority(atlas: Atlas, script: str) -> str:
    shares = (
        atlas.majorities.get((home, relation.name))
        for relation in atlas.relations
        for home in SCRIPTS
        if home == script
    )
    return "".join(f"{f'{share[0]} {share[1]:.0%}' if share else '-':>24}" for share in shares)
