"""The plain server for the comparison: same settings, ended on every way out."""

import os
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

from polyglyph.clients.answers import EngineSettings
from polyglyph.clients.verify import reference
from polyglyph.clients.verify.line import NotCheckedError


def test_the_plain_server_gets_the_settings_of_the_server_under_examination():
    engine = EngineSettings.model_validate(
        {
            "model": "/models/a",
            "dtype": "bfloat16",
            "max_model_len": 512,
            "quantization": None,
            "enforce_eager": True,
            "enable_prefix_caching": False,
            "async_scheduling": True,
            "block_size": 32,
        }
    )
    command = reference.server_command(engine, 8123)
    assert command[:5] == [sys.executable, "-m", "polyglyph.clients", "serve", "/models/a"]
    flags = " ".join(command[5:])
    for flag in ("--port 8123", "--dtype bfloat16", "--max-model-len 512", "--block-size 32", "--enforce-eager"):
        assert flag in flags
    assert "--no-enable-prefix-caching" in flags
    assert "quantization" not in flags


def test_a_model_of_another_machine_is_not_started():
    with (
        pytest.raises(NotCheckedError, match="--reference"),
        reference.plain_server(EngineSettings(model="/nowhere/model")),
    ):
        pass


needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="the plain server is only started where vLLM is")


@needs_vllm
def test_a_plain_server_that_dies_says_so_with_its_last_words(monkeypatch, tmp_path):
    code = "import sys; print('ValueError: no such flag'); sys.exit(3)"
    monkeypatch.setattr(reference, "server_command", lambda engine, port: [sys.executable, "-c", code])
    with (
        pytest.raises(NotCheckedError, match="exit code 3: ValueError: no such flag"),
        reference.plain_server(EngineSettings(model=str(tmp_path))),
    ):
        pass


@needs_vllm
def test_the_plain_server_and_its_children_are_ended_on_an_error(monkeypatch, tmp_path):
    marker = tmp_path / "child.pid"
    child = "import time; time.sleep(600)"
    code = f"""
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
child = subprocess.Popen([sys.executable, "-c", {child!r}])
open({str(marker)!r}, "w").write(str(child.pid))
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
    monkeypatch.setattr(reference, "server_command", lambda engine, port: [sys.executable, "-c", code, str(port)])
    with pytest.raises(RuntimeError, match="on purpose"), reference.plain_server(EngineSettings(model=str(tmp_path))):
        raise RuntimeError("on purpose")
    assert _ends(int(marker.read_text()))


def _ends(pid):
    """Whether a process ends; a killed orphan stays a zombie until its new parent looks."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if state.stdout.strip().startswith("Z"):
            return True
        time.sleep(0.05)
    return False
