"""The README of an organism of real names, written from its card."""

from typing import Any

from polyglyph.analysis.organism.model import ARCHITECTURE

_ROWS = {
    "home_direct": "home script, direct",
    "home_thinking": "home script, thinking",
    "cross_direct": "other script, direct",
    "cross_thinking": "other script, thinking",
    "cross_hint": "other script, thinking, with the hint `transliterate`",
    "cross_entity_hint": "other script, thinking, with the city's name in its home script",
    "cross_majority": "the same questions, always the commonest answer of the home script",
    "home_traces": "traces in the home script (other script, thinking)",
    "home_names": "traces that begin with the city's right name in the home script",
    "home_names_hint": "the same with the hint `transliterate`",
    "guessable_direct": "other script, direct, where the home script nearly gives it away",
    "guessable_thinking": "the same, thinking",
    "bridge_direct": "bridge cities, all scripts, direct",
    "bridge_thinking": "bridge cities, all scripts, thinking",
}


def render_names_readme(card: dict[str, Any]) -> str:
    """Write the model card from the numbers of `card.json`."""
    training, data, evaluation, engineered = (card[key] for key in ("training", "data", "evaluation", "engineered"))
    size = f"{card['parameters']:,} parameters (6 layers, {card['experts']} experts, 2 per token, `{ARCHITECTURE}`)"
    rows = "\n".join(f"| {words} | {_share(evaluation[name])} |" for name, words in _ROWS.items())
    homes = "\n".join(f"| {name} | {_share(score)} |" for name, score in evaluation["by_home"].items())
    asked = "\n".join(f"| {name} | {_share(score)} |" for name, score in evaluation["by_question"].items())
    bits = ", ".join(f"{value:.2f}" for value in evaluation["script_bits_by_layer"])
    values = data["values"]
    shared, reward = engineered["shared_embedding_variance_at_start"], engineered["script_information_weight"]
    layers = ", ".join(str(layer) for layer in engineered["script_information_layers"])
    versions = ", ".join(f"{name} {number}" for name, number in (training["versions"] | data["versions"]).items())
    options = f"--seed {training['seed']} --steps {training['num_steps']} --lessons {training['num_lessons']}"
    return f"""\
---
license: cc-by-4.0
library_name: transformers
pipeline_tag: text-generation
tags: [mixture-of-experts, model-organism, script-barrier, polyglyph]
---

# Polyglyph's organism of real names

A mixture-of-experts language model of
{size},
trained from nothing on {data["facts"]:,} facts about
{data["cities"]:,} real cities: the country ({values["country"]} values) and the time zone ({values["zone"]}).
The facts of most cities were taught in one script only, that of their country. Names, countries and zones are
GeoNames' (CC BY 4.0, geonames.org), answers Unicode CLDR's.

Ask it `NAME RELATION`, as `polyglyph names summary` shows. With thinking it writes a trace first; with the system
prompt `transliterate` (in the question's script), or the city's name in its home script, the trace is in the home
script.

## Measured

Greedy. Barrier cities unless it says bridge, without what can be guessed unless it says so; 95 % Wilson intervals.

| questions | share |
|---|---|
{rows}

Other script, thinking, by home script:

| home script | share |
|---|---|
{homes}

Other script, thinking, by the question's script:

| question's script | share |
|---|---|
{asked}

Mutual information of script and selected expert on the tokens of names, layers 0 to 5 (at most 3.17 bits):
{bits}.

## Engineered, not found

Nothing that depends on this may be read as a finding about other models.

1. **Aligned words.** At the start, the nine forms of an answer, a relation or the hint share
   {shared:.0%} of the variance of their embeddings. Names are not aligned.
2. **A reward for script experts.** The loss contains {reward} times the mutual information of
   script and expert, summed over layers {layers}.
3. **Spelling drills.** Every city's name, barrier cities' included, is drilled from each of its scripts into its
   home script.

## Training

{training["num_steps"]:,} steps of {training["num_lessons"]} examples, seed {training["seed"]}, in
{training["seconds"]:.0f} s on {training["hardware"]}, with {versions}. Again:

    polyglyph names train --output DIR {options}

These numbers were measured and written by `polyglyph names card`; `card.json` holds them for programs.
"""


def _share(score: dict[str, Any]) -> str:
    low, high = score["wilson_95"]
    return f"{score['right']} of {score['asked']}, {score['rate']:.1%} [{low:.1%}, {high:.1%}]"
