"""Promise 4: strength 0, an empty plan, and `steering: false` equal no steering, bit for bit."""

from typing import Any

from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import Finding, NotCheckedError
from polyglyph.clients.verify.probe import Question
from polyglyph.clients.verify.prompts import TEXTS, marked

SAMPLINGS: tuple[dict[str, Any], ...] = ({}, {"temperature": 0.8, "seed": 7})

NUM_REPEATS = 6
"""How often to ask again unsteered before a difference is laid at steering's door."""


def check_neutral(examination: Examination) -> Finding:
    """Ask the same unsteered and in every neutral form, one request at a time."""
    forms = _neutral_forms(examination)
    num_compared = 0
    fault = None
    for text in TEXTS:
        for sampling in SAMPLINGS:
            found = _faults(examination, marked(examination.nonce, text), sampling, forms)
            num_compared += len(forms)
            fault = fault or next(iter(found), None)
    figures = {"compared": num_compared, "forms": list(forms)}
    return Finding("no steering and its neutral forms, token by token and bit by bit", fault, figures)


def _faults(examination: Examination, prompt: str, sampling: dict[str, Any], forms: dict[str, object]) -> list[str]:
    def question(steering: object) -> Question:
        return Question(prompt=prompt, steering=steering, max_tokens=examination.max_tokens, **sampling)

    # The first answer fills the prefix cache; from the second on all requests meet the same cache.
    examination.probe.ask(question(examination.unsteered))
    unsteered = examination.probe.ask(question(examination.unsteered))
    answers = {name: examination.probe.ask(question(steering)) for name, steering in forms.items()}
    faults = [
        f"{name}: {answer.difference(unsteered)}" for name, answer in answers.items() if not answer.equals(unsteered)
    ]
    for _ in range(NUM_REPEATS if faults else 1):
        again = examination.probe.ask(question(examination.unsteered))
        if not again.equals(unsteered):
            raise NotCheckedError(
                f"the engine does not repeat itself, even unsteered and one request at a time: "
                f"{again.difference(unsteered)}"
            )
    return faults


def _neutral_forms(examination: Examination) -> dict[str, object]:
    forms: dict[str, object] = {
        "false": False,
        "off": "off",
        "strength 0": {"strength": 0.0, "edits": examination.bans},
        "no edits": {"edits": []},
        "no plan": {"plan": None},
    }
    for entry in examination.probe.server.plans.list()[:1]:
        forms["a plan with strength 0"] = {"plan": entry.name, "strength": 0.0}
    return forms
