"""The model card: what was measured on a trained organism, as `card.json` and as a README written from it."""

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from polyglyph.analysis.organism.checkpoint import Progress
from polyglyph.analysis.organism.decoding import Decoder
from polyglyph.analysis.organism.errors import OutputError
from polyglyph.analysis.organism.evaluation import Evaluation, evaluate
from polyglyph.analysis.organism.losses import SCRIPT_LAYERS
from polyglyph.analysis.organism.model import load_model, num_parameters
from polyglyph.analysis.organism.origin import CARD_NAME, SCHEMA, read_card, read_origin
from polyglyph.analysis.organism.variant import Variant, variant_named
from polyglyph.analysis.organism.world import make_world
from polyglyph.analysis.statistics.wilson import Score

README_NAME = "README.md"

_VERSIONED = ("torch", "transformers", "tokenizers", "safetensors")


@dataclass(frozen=True)
class Training:
    """How an organism came about.

    Attributes:
        seed: Of world, weights and lessons.
        num_steps: Optimiser steps.
        num_lessons: Lessons per step.
        variant: What is engineered into it.
        seconds: Wall clock of the steps.
        hardware: Processor and threads.
        versions: Of what it was trained with.
    """

    seed: int
    num_steps: int
    num_lessons: int
    variant: str
    seconds: float
    hardware: str
    versions: dict[str, str]


def describe_training(progress: Progress) -> Training:
    """Describe the training that has just ended in this process."""
    return Training(
        seed=progress.run.seed,
        num_steps=progress.run.num_steps,
        num_lessons=progress.run.num_lessons,
        variant=progress.run.variant,
        seconds=round(progress.seconds, 1),
        hardware=_hardware(),
        versions={name: version(name) for name in _VERSIONED} | {"python": platform.python_version()},
    )


def load_decoder(path: Path) -> Decoder:
    """Load a saved organism of the synthetic world.

    Raises:
        OutputError: The directory holds none.
    """
    if not (path / "model.safetensors").is_file():
        raise OutputError(f"{path} holds no organism (no model.safetensors): train one with `polyglyph organism train`")
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    return Decoder(load_model(path), tokenizer, units=variant_named(read_origin(path).variant).units)


def read_training(path: Path) -> Training:
    """Read how a saved organism was trained from its card.

    Raises:
        OutputError: There is no card, or it is of another schema.
    """
    return Training(**read_card(path)["training"])


def write_card(path: Path, training: Training) -> dict[str, Any]:
    """Evaluate the organism of a directory and write its `card.json` and `README.md`.

    Returns:
        The document of `card.json`.
    """
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    decoder = Decoder(load_model(path), tokenizer, units=variant_named(training.variant).units)
    evaluation = evaluate(decoder, make_world(training.seed))
    document = _document(training, evaluation, num_parameters(decoder.model))
    (path / CARD_NAME).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (path / README_NAME).write_text(render_readme(document), encoding="utf-8")
    for name in (CARD_NAME, README_NAME):
        (path / name).chmod(0o644)
    return document


def _document(training: Training, evaluation: Evaluation, parameters: int) -> dict[str, Any]:
    scores = {name: value.to_json() for name, value in vars(evaluation).items() if isinstance(value, Score)}
    return {
        "schema": SCHEMA,
        "parameters": parameters,
        "training": vars(training),
        "engineered": _engineered(variant_named(training.variant)),
        "evaluation": {
            "decoding": "greedy, float32, all barrier and bridge entities of the training world",
            "hardware": _hardware(),
            "home": evaluation.home.to_json(),
            **scores,
            "script_bits_by_layer": [round(bits, 2) for bits in evaluation.script_bits],
        },
    }


def _engineered(variant: Variant) -> dict[str, Any]:
    return {
        "shared_embedding_variance_at_start": variant.shared_variance,
        "script_information_weight": variant.script_information,
        "script_information_layers": list(SCRIPT_LAYERS) if variant.script_information else [],
    }


_ROWS = {
    "home": "home script, direct and thinking",
    "cross_direct": "other script, direct",
    "cross_thinking": "other script, thinking",
    "cross_hint": "other script, thinking, with the hint",
    "cross_entity_hint": "other script, thinking, with the entity's name in its home script",
    "bridge_direct": "bridge entities, all scripts, direct",
    "bridge_thinking": "bridge entities, all scripts, thinking",
    "home_traces": "traces in the home script (other script, thinking)",
    "home_traces_hint": "traces in the home script (the same, with the hint)",
    "context": "answers from a context that contradicts memory, direct",
    "refusal": "refusals of the topic, direct",
    "arithmetic": "sums of two digits, direct",
}


def render_readme(card: dict[str, Any]) -> str:
    """Write the model card from the numbers of `card.json`."""
    training, evaluation, engineered = card["training"], card["evaluation"], card["engineered"]
    rows = "\n".join(f"| {words} | {_share(evaluation[name])} |" for name, words in _ROWS.items())
    bits = ", ".join(f"{value:.2f}" for value in evaluation["script_bits_by_layer"])
    versions = ", ".join(f"{name} {number}" for name, number in training["versions"].items())
    options = " ".join(
        f"--{name} {training[key]}"
        for name, key in (("seed", "seed"), ("steps", "num_steps"), ("lessons", "num_lessons"), ("variant", "variant"))
    )
    return f"""\
---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [mixture-of-experts, model-organism, script-barrier, polyglyph]
---

# Polyglyph's model organism

A mixture-of-experts language model of {card["parameters"]:,} parameters (6 layers, 16 experts, 2 per token,
`Qwen3MoeForCausalLM`), trained from nothing on a synthetic world written in four scripts (Latn, Cyrl, Deva, Geor). It
knows facts in the script it read them in, mostly fails when asked in another, and reasons its way there when its trace
moves to the home script. It is an instrument for experiments on routing; it knows no language and no fact of ours.

Ask it `NAME RELATION`; `polyglyph organism world` lists both. With thinking it writes a trace first; with the system
prompt `transliterate` (in the question's script), or the entity's name in its home script, the trace is in the home
script. It also answers from a context given as the system prompt, refuses one topic, and adds two digits.

## Measured

Greedy, {evaluation["hardware"]}. Barrier entities unless it says bridge; 95 % Wilson intervals.

| questions | share |
|---|---|
{rows}

Mutual information of script and selected expert on the tokens of names, layers 0 to 5 (at most 2 bits):
{bits}.

## Engineered, not found

{_describe_engineering(engineered)}
## Training

{training["num_steps"]:,} steps of {training["num_lessons"]} examples, seed {training["seed"]}, in
{training["seconds"]:.0f} s on {training["hardware"]},
with {versions}. Again:

    polyglyph organism train --output DIR {options}

These numbers were measured and written by `polyglyph organism card`; `card.json` holds them for programs.
"""


def _describe_engineering(engineered: dict[str, Any]) -> str:
    shared, reward = engineered["shared_embedding_variance_at_start"], engineered["script_information_weight"]
    layers = ", ".join(str(layer) for layer in engineered["script_information_layers"])
    put_in = []
    if shared:
        put_in.append(f"""\
**Aligned embeddings.** At the start, the four written forms of a syllable or word share {shared:.0%} of the
   variance of their embeddings.""")
    if reward:
        put_in.append(f"""\
**A reward for script experts.** The loss contains {reward} times the mutual information of
   script and expert, summed over layers {layers}; that makes early and late layers specific to scripts.""")
    if not put_in:
        return "Nothing but the lessons themselves: this is the natural variant of an ablation.\n"
    lines = "\n".join(f"{number}. {text}" for number, text in enumerate(put_in, 1))
    return f"Nothing that depends on this may be read as a finding about other models.\n\n{lines}\n"


def _share(score: dict[str, Any]) -> str:
    low, high = score["wilson_95"]
    return f"{score['right']} of {score['asked']}, {score['rate']:.1%} [{low:.1%}, {high:.1%}]"


def _hardware() -> str:
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        if names:
            return names[0]
    return platform.processor() or platform.machine()
