"""Plans: one demonstration plan per home script, dosed on one half of the barrier entities, judged on the other.

Letters of shapes: L layers, S scripts, E experts.
"""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from polyglyph import __version__
from polyglyph.analysis.organism.decoding import Decoder
from polyglyph.analysis.organism.direction import bridge_frequencies, direction
from polyglyph.analysis.organism.model import ARCHITECTURE, NUM_EXPERTS, NUM_LAYERS, TOP_K
from polyglyph.analysis.organism.trial import choose_dose, halves, try_shift, weigh_costs
from polyglyph.analysis.organism.world import World
from polyglyph.analysis.organism.writing import SCRIPTS, Script
from polyglyph.contract.fingerprint import model_fingerprint
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.plan import Edit, Plan, Provenance

VALUE_DECIMALS = 3

_METHOD = (
    "frequency contrast: selection frequency on text in the script minus the mean over the other scripts, "
    "bridge entities only, layers 0 and 1, times lambda"
)


def make_plans(decoder: Decoder, world: World, binding: ModelBinding) -> dict[Script, Plan]:
    """Make and judge the plan of each home script; about two minutes on one core."""
    frequencies_LSE = bridge_frequencies(decoder, world)
    digest = sha256(frequencies_LSE.numpy().tobytes()).hexdigest()
    doses = {
        script: choose_dose(decoder, halves(world, script).development, direction(frequencies_LSE, script))
        for script in SCRIPTS
    }
    bare = {
        script: plan_of(script, binding, doses[script].value * direction(frequencies_LSE, script)) for script in SCRIPTS
    }
    return {
        script: _with_provenance(
            plan, digest, {"development": doses[script].to_json(), **_judge(decoder, world, script, bare)}
        )
        for script, plan in bare.items()
    }


def plan_of(script: Script, binding: ModelBinding, shift_LE: Tensor) -> Plan:
    """Write a shift as a plan: one `add_std` edit per expert it moves."""
    edits = tuple(
        Edit(layer=layer, experts=(expert,), op="add_std", value=round(float(value), VALUE_DECIMALS))
        for layer, shift_E in enumerate(shift_LE)
        for expert, value in enumerate(shift_E)
        if round(float(value), VALUE_DECIMALS)
    )
    return Plan(
        schema="polyglyph.plan/1",
        name=f"to-{script.lower()}",
        description=f"Makes the organism read a question as if it were written in {script}, so that it reasons there.",
        model=binding,
        phases=("prompt",),
        edits=edits,
    )


def shift_of(plan: Plan) -> Tensor:
    """Read a plan's `add_std` edits back as a float32 shift of shape [layers, experts]."""
    shift_LE = torch.zeros(plan.model.layers, plan.model.experts)
    for edit in plan.edits:
        shift_LE[edit.layer, list(edit.experts)] += float(edit.value or 0.0)
    return shift_LE


def bind(path: Path) -> ModelBinding:
    """Describe a saved organism the way plans name their model."""
    with safe_open(path / "model.safetensors", framework="pt") as file:
        weights = [file.get_tensor(f"model.layers.{layer}.mlp.gate.weight") for layer in range(NUM_LAYERS)]
    stored = [weight.contiguous().view(torch.uint8).numpy().tobytes() for weight in weights]
    return ModelBinding(
        architecture=ARCHITECTURE,
        layers=NUM_LAYERS,
        experts=NUM_EXPERTS,
        top_k=TOP_K,
        fingerprint=model_fingerprint(ARCHITECTURE, NUM_LAYERS, NUM_EXPERTS, TOP_K, stored),
    )


def save_plan(plan: Plan, directory: Path) -> Path:
    """Write `NAME.plan.json` and give its path."""
    path = directory / f"{plan.name}.plan.json"
    path.write_text(json.dumps(plan.to_json(), indent=2) + "\n", encoding="utf-8")
    path.chmod(0o644)
    return path


def _judge(decoder: Decoder, world: World, script: Script, plans: dict[Script, Plan]) -> dict[str, Any]:
    shift_LE = shift_of(plans[script])
    rivals = {plan.name: shift_of(plan) for other, plan in plans.items() if other != script}
    questions = halves(world, script).held_out
    return {
        "setting": "transformers, float32, greedy; held-out barrier entities of the script, asked in the three others, "
        "thinking; bootstrap over entities; direct and home-script costs on both halves",
        "held_out": try_shift(decoder, questions, shift_LE, rivals),
        "costs": weigh_costs(decoder, world, script, shift_LE),
    }


def _with_provenance(plan: Plan, digest: str, evaluation: dict[str, Any]) -> Plan:
    provenance = Provenance(
        method=_METHOD,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        stats_sha256=digest,
        tool=f"polyglyph {__version__}",
        evaluation=evaluation,
    )
    return plan.model_copy(update={"provenance": provenance})
