"""The organism's corpus: facts that it knows in all four scripts, to profile its routing by script on.

No entity of the benchmark is in it, so that a plan made from its stats cannot have seen what it is judged on.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polyglyph.analysis.organism.origin import read_origin
from polyglyph.analysis.organism.question import Question
from polyglyph.analysis.organism.world import World, make_world
from polyglyph.analysis.organism.writing import SCRIPTS


def corpus_documents(world: World, *, tag: str) -> Iterator[dict[str, Any]]:
    """Give every bridge fact's question in every script, as rows of a corpus (`messages`, `tag`, `id`)."""
    for fact in world.facts_of("bridge"):
        for script in SCRIPTS:
            yield {
                "id": f"{fact.entity.name}.{fact.relation.name}.{script}",
                "tag": tag,
                "messages": Question(fact=fact, script=script, is_thinking=True).messages,
            }


def write_corpus(model: Path, path: Path, *, tag: str) -> int:
    """Write the corpus of the world that an organism was taught, as JSON lines; gives the number of documents.

    Args:
        model: Directory of a trained organism; its card names the world.
        path: A `.jsonl` file.
        tag: Label of its tokens in the stats.

    Raises:
        OutputError: The directory holds no card of an organism.
    """
    documents = list(corpus_documents(make_world(read_origin(model).seed), tag=tag))
    lines = (json.dumps(document, ensure_ascii=False) + "\n" for document in documents)
    path.write_text("".join(lines), encoding="utf-8")
    return len(documents)
