"""The corpus of real names: questions about cities whose facts are taught in all of their scripts.

No city of the benchmark of names is in it, so that a plan made from its stats cannot have seen what it is judged on.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from polyglyph.analysis.names.atlas import Atlas, make_atlas
from polyglyph.analysis.names.question import bridge_questions

QUESTIONS_PER_SCRIPT = 400


def names_documents(atlas: Atlas, *, tag: str, per_script: int = QUESTIONS_PER_SCRIPT) -> Iterator[dict[str, Any]]:
    """Give bridge facts' questions as rows of a corpus (`messages`, `tag`, `id`).

    Args:
        atlas: The cities.
        tag: Label of its tokens in the stats.
        per_script: Questions of each script at most, drawn by the atlas' seed.
    """
    questions = bridge_questions(atlas, is_thinking=True)
    rng = Random(f"corpus {atlas.seed}")
    for script in sorted({question.script for question in questions}):
        written = [question for question in questions if question.script == script]
        for number, question in enumerate(rng.sample(written, min(per_script, len(written)))):
            yield {"id": f"{script}.{number}", "tag": tag, "messages": question.messages}


def write_names_corpus(path: Path, *, seed: int, tag: str) -> int:
    """Write the corpus of the atlas of a seed, as JSON lines; gives the number of documents.

    Args:
        path: A `.jsonl` file.
        seed: Of the atlas, which takes ten seconds to make.
        tag: Label of its tokens in the stats.
    """
    documents = list(names_documents(make_atlas(seed), tag=tag))
    lines = (json.dumps(document, ensure_ascii=False) + "\n" for document in documents)
    path.write_text("".join(lines), encoding="utf-8")
    return len(documents)
