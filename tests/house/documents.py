"""The documents at the root and under docs/, as the tests read them."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)


def page(name: str) -> str:
    """Give a page's text by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    """Give the fenced blocks of a language."""
    return [match["body"] for match in _FENCE.finditer(text) if match["language"] == language]


def marked_block(text: str, mark: str) -> str:
    """Give the one block that follows the comment `<!-- mark -->`."""
    (body,) = (match["body"] for match in _FENCE.finditer(text) if match["mark"] == mark)
    return body


def commands(text: str, program: str) -> Iterator[str]:
    """Give each call of a program in code, fenced or inline, without comments, prompts and trailing words."""
    fenced = [line.split("  #")[0] for block in code_blocks(text, "sh") for line in block.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
    for code in (*fenced, *inline):
        for part in code.split("&&"):
            words = part.strip()
            if words == program or words.startswith(f"{program} "):
                yield words
