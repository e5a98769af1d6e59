"""What the README shows works: `polyglyph serve` without a model, and the steered call with the OpenAI client."""

import io
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tests.house.documents import marked_block, page

START_TIMEOUT_S = 400
pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 200)
CALL = marked_block(page("README.md"), "tested: steered call")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    environment = os.environ | {"POLYGLYPH_DATA_DIR": str(folder / "data"), "VLLM_NO_USAGE_STATS": "1"}
    command = [sys.executable, "-m", "polyglyph.clients", "serve", "--port", str(port)]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until_healthy(process, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(START_TIMEOUT_S):
        try:
            if httpx.get(f"{url}/health", timeout=1).is_success:
                return
        except httpx.HTTPError:
            pass
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail("the server did not start:\n" + log.read_text(errors="replace")[-4000:])


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
