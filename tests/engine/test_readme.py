"""What the README shows works: `polyglyph serve` without a model, and the steered call with the OpenAI client."""

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest
from openai import OpenAI

from tests.house.documents import marked_block, page
from tests.support.server import START_TIMEOUT_S, serving

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 200)
CALL = marked_block(page("README.md"), "tested: steered call")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server.url


def promised_answer() -> str:
    """Give the answer that the README promises: the word in code after `should answer`."""
    promise = re.search(r"should answer `([^`]+)`", page("README.md"))
    assert promise is not None
    return promise[1]


def run_call(url: str) -> list[str]:
    code = CALL.replace("http://127.0.0.1:8000", url)
    assert url in code
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - the README's own example is what is tested
    return printed.getvalue().split()


def test_the_steered_call_prints_the_promised_answer_and_its_dose(url: str) -> None:
    answer, dose = run_call(url)
    assert answer == promised_answer()
    assert 0 < float(dose) <= 1


def test_without_steering_the_same_question_is_answered_wrongly(url: str) -> None:
    question = re.search(r'"content": "([^"]+)"', CALL)
    assert question is not None
    answer = OpenAI(base_url=f"{url}/v1", api_key="none").chat.completions.create(
        model="organism", messages=[{"role": "user", "content": question[1]}], temperature=0
    )
    assert answer.choices[0].message.content != promised_answer()


def test_the_command_of_the_readme_shows_both_answers(url: str) -> None:
    command = re.search(r'`polyglyph (chat "[^"]+"[^`]*)`', page("README.md"))
    assert command is not None
    words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command[1])]
    outcome = subprocess.run(
        [sys.executable, "-m", "polyglyph.clients", "--url", url, *words], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    assert promised_answer() in outcome.stdout


def test_the_example_reads_another_routing_in_every_script(url: str) -> None:
    outcome = subprocess.run(
        [sys.executable, "examples/read_the_router.py", url], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    answers, sums, tokens = (part.splitlines() for part in outcome.stdout.split("\n\n"))
    assert len(answers) == 4
    lines = [line.split() for line in sums[1:]]
    assert [line[0] for line in lines] == ["Cyrl", "Deva", "Geor", "Latn", "Zyyy"]
    # The organism's first layer was made specific to scripts: see its card.
    assert len({line[2] for line in lines[:4]}) == 4
    assert "Cyrl" in "".join(tokens)
