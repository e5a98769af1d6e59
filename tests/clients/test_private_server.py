"""A private server ends with the block that started it, and with the process when that is killed."""

import os
import subprocess
import sys
import time
from importlib.util import find_spec

import httpx
import pytest

from polyglyph.clients.private_server import NoServerError, private_server

needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="a private server is only started where vLLM is")
SERVER = """
import os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{os.getpid()} {child.pid} {os.environ['MARK']}".encode())
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def command(port):
    return [sys.executable, "-c", SERVER, str(port)]


def words_of(url):
    return httpx.get(url).text.split()


@needs_vllm
def test_the_server_gets_its_environment_and_ends_with_the_block():
    with private_server(command, environment=os.environ | {"MARK": "ours"}) as url:
        server, child, mark = words_of(url)
        assert mark == "ours"
    assert ends(int(server)) and ends(int(child))


@needs_vllm
def test_a_server_that_ends_says_its_last_words():
    with (
        pytest.raises(NoServerError, match="exit code 3: ValueError: no such flag"),
        private_server(
            lambda port: [sys.executable, "-c", "import sys; print('ValueError: no such flag'); sys.exit(3)"],
            environment=os.environ,
        ),
    ):
        pass


@needs_vllm
def test_a_killed_process_leaves_no_server_behind():
    code = """
import os, signal, httpx
from polyglyph.clients.private_server import private_server
from tests.clients.test_private_server import command
with private_server(command, environment=os.environ | {"MARK": "-"}) as url:
    print(httpx.get(url).text, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    server, child, _ = outcome.stdout.split()
    assert ends(int(server)) and ends(int(child))


def ends(pid):
    """Whether a process ends; a killed orphan stays a zombie until its new parent looks."""
    for _ in range(200):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if state.stdout.strip()[:1] in {"", "Z"}:
            return True
        time.sleep(0.05)
    return False
