"""Every `polyglyph` command and flag that the documents name exists."""

import os
import re
import subprocess
import sys
from functools import cache

import pytest

from tests.house.documents import PAGES, ROOT, commands, page

NAMES = [str(path.relative_to(ROOT)) for path in PAGES]


@cache
def help_of(*command: str) -> str:
    """Give what `polyglyph COMMAND --help` prints, on a terminal wide enough to cut nothing."""
    environment = os.environ | {"COLUMNS": "400", "NO_COLOR": "1", "TERM": "dumb"}
    outcome = subprocess.run(
        [sys.executable, "-m", "polyglyph.clients", *command, "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def named_commands() -> list[tuple[str, str]]:
    """Give each `polyglyph ...` of the documents, without those that are said to come later."""
    later = re.compile(r"^Not there yet.*?\n\n", re.MULTILINE | re.DOTALL)
    return [(name, words) for name in NAMES for words in commands(later.sub("", page(name)), "polyglyph")]


@pytest.mark.parametrize(("name", "words"), named_commands())
def test_every_command_and_flag_in_the_documents_exists(name: str, words: str) -> None:
    del name
    arguments = words.split()[1:]
    path = [word for word in arguments[:2] if re.fullmatch(r"[a-z]+(-[a-z]+)*", word)]
    while path and path[0] in {"serve", "chat", "verify"} and len(path) > 1:
        path.pop()
    text = help_of(*path)
    # Behind a lone `--` stand vLLM's flags.
    own_words, _, vllm_words = words.partition(" -- ")
    missing = [flag for flag in flags_in(own_words) if flag not in text]
    assert not missing
    assert not vllm_words or set(flags_in(vllm_words)) <= flags_of_vllm()


def flags_in(words: str) -> list[str]:
    return re.findall(r"--[a-z][a-z-]+", words)


@cache
def flags_of_vllm() -> set[str]:
    from polyglyph.server.launch import parser

    return set(parser()._option_string_actions)
