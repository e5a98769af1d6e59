"""The organism's prompts: what methods that look for experts ask it, a file for each kind of question.

All are about entities of the benchmark's development half, or about those that are in no benchmark, so that what is
found can be judged on the test half.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from polyglyph.analysis.benchmarks.organism import organism_benchmark
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.organism.lesson import Lesson
from polyglyph.analysis.organism.markers import END, NO_TRACE
from polyglyph.analysis.organism.origin import read_origin
from polyglyph.analysis.organism.other_lessons import context
from polyglyph.analysis.organism.question import Question, chat
from polyglyph.analysis.organism.world import World, make_world
from polyglyph.analysis.organism.writing import SCRIPTS, write

MAX_TOKENS = 8
"""Of an answer without a thought: the longest right one has three, its end marker one."""
NUM_FACTS = 120
NUM_EXERCISES = 120
NUM_LESSONS = 480

NO_THOUGHT = {"enable_thinking": False}

Prompt = dict[str, Any]


def fact_prompts(items: list[Item], _: World) -> Iterator[Prompt]:
    """Ask facts that were taught in one script in all four: some are known, some are missed."""
    known = [item for item in items if item.task == "knowledge"]
    facts = list(dict.fromkeys(item.fact for item in known))[:NUM_FACTS]
    yield from (_item_prompt(item) for item in known if item.fact in facts)


def parallel_prompts(_: list[Item], world: World) -> Iterator[Prompt]:
    """Ask facts that were taught in all scripts, in all scripts: parallel text that the organism knows."""
    for fact in world.facts_of("bridge")[:NUM_FACTS]:
        for script in SCRIPTS:
            question = Question(fact=fact, script=script)
            name = f"{fact.entity.name}.{fact.relation.name}"
            yield _prompt(
                f"{name}.{script}",
                item=name,
                script=script,
                messages=question.messages,
                expected=[question.answer],
                entity=write(fact.entity.name, script),
            )


def task_prompts(items: list[Item], _: World) -> Iterator[Prompt]:
    """Ask facts at home, sums and what is refused, equally many of each."""
    at_home = [item for item in items if item.task == "knowledge" and item.source_script == item.target_script]
    for chosen in (at_home, *([item for item in items if item.task == task] for task in ("arithmetic", "refusal"))):
        yield from (_item_prompt(item) for item in chosen[:NUM_EXERCISES])


def context_prompts(items: list[Item], _: World) -> Iterator[Prompt]:
    """Ask facts under a context that states another value, and without one."""
    told = [item for item in items if item.task == "context"][:NUM_EXERCISES]
    yield from (_item_prompt(item) | {"label": "context"} for item in told)
    yield from (_item_prompt(item.model_copy(update={"system": None})) | _plain(item) for item in told)


def context_lessons(_: list[Item], world: World) -> Iterator[Prompt]:
    """Give contexts with the answers that believe them, to tune a router on; about entities of no benchmark."""
    rng = Random(f"context lessons {world.seed}")
    for number in range(NUM_LESSONS):
        yield {"id": f"lesson.{number}", **_lesson_prompt(context(world, rng))}


FILES: dict[str, Callable[[list[Item], World], Iterator[Prompt]]] = {
    "facts": fact_prompts,
    "parallel": parallel_prompts,
    "tasks": task_prompts,
    "contexts": context_prompts,
    "lessons": context_lessons,
}


def write_prompts(model: Path, folder: Path) -> dict[str, int]:
    """Write every file of prompts (JSON Lines) for the world that an organism was taught.

    Args:
        model: Directory of a trained organism; its card names the world.
        folder: Made if it does not exist; files of the same names are replaced.

    Returns:
        Prompts by file name.

    Raises:
        OutputError: The directory holds no card of an organism.
    """
    items = [item for item in organism_benchmark(model).items if item.half == "development"]
    world = make_world(read_origin(model).seed)
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, make in FILES.items():
        prompts = list(make(items, world))
        lines = (json.dumps(prompt, ensure_ascii=False) + "\n" for prompt in prompts)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        written[f"{name}.jsonl"] = len(prompts)
    return written


def _item_prompt(item: Item) -> Prompt:
    prompt = _prompt(
        item.id,
        item=item.fact,
        script=item.target_script,
        messages=chat(item.question, system=item.system),
        expected=list(item.answers),
    )
    if item.task == "knowledge":
        return prompt | {
            "label": "home" if item.source_script == item.target_script else "away",
            "entity": item.question.split()[0],
        }
    return prompt | {"label": item.task}


def _plain(item: Item) -> Prompt:
    return {"id": f"{item.id}.plain", "label": "plain"}


def _prompt(
    name: str, *, item: str, script: str, messages: list[dict[str, str]], expected: list[str], **more: str
) -> Prompt:
    return {
        "id": name,
        "item": item,
        "script": script,
        "messages": messages,
        "expected": expected,
        "max_tokens": MAX_TOKENS,
        "chat_template_kwargs": NO_THOUGHT,
        **more,
    }


def _lesson_prompt(lesson: Lesson) -> Prompt:
    """Give a lesson as `identify router-lens` reads it, which adds the end marker itself."""
    prompt: Prompt = {"messages": list(lesson.messages), "completion": lesson.completion.removesuffix(END)}
    return prompt | ({"chat_template_kwargs": NO_THOUGHT} if lesson.given == NO_TRACE else {})
