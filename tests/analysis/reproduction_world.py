"""Made questions, answers and plans for the tests of reproductions."""

from polyglyph import bundled_organism, bundled_plans
from polyglyph.analysis.benchmarks.organism import organism_benchmark
from polyglyph.analysis.reproduction.answering import Answer
from polyglyph.analysis.reproduction.arm import Arm
from polyglyph.analysis.reproduction.measured import Measured
from polyglyph.analysis.reproduction.questions import Questions
from polyglyph.contract.plan import Plan, load_plan

MODEL = load_plan(next(bundled_plans().glob("*.plan.json"))).model


def organism_questions(limit=40, seed=0):
    return Questions(organism_benchmark(bundled_organism()), limit=limit, seed=seed)


def ban(*pairs, name="made"):
    by_layer = {}
    for layer, expert in pairs:
        by_layer.setdefault(layer, []).append(expert)
    edits = [{"layer": layer, "experts": experts, "op": "ban"} for layer, experts in by_layer.items()]
    return Plan.model_validate({"schema": "polyglyph.plan/1", "name": name, "model": MODEL, "edits": edits})


def arm(name, kind, outcomes, *, set_name="facts", plan=None, draw=None):
    answers = [Answer("", "", bool(right)) for right in outcomes]
    return Arm(name=name, kind=kind, plan=plan, draw=draw, answers={set_name: answers})


def measured(none, method, *random):
    questions = organism_questions(limit=len(none)).judged("home")
    drawn = [arm(f"matched-{draw}", "matched", outcomes, draw=draw) for draw, outcomes in enumerate(random, 1)]
    arms = (arm("none", "none", none), arm("method", "method", method), *drawn)
    return Measured({"facts": questions}, arms, seed=0)
