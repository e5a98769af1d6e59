"""The launcher: what it hands to vLLM, and what it refuses before an engine starts."""

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from polyglyph.server import launch
from polyglyph.server.launch import plugins_to_load

NOT_STARTED = 6


def test_the_users_own_choice_of_plugins_is_kept():
    assert plugins_to_load("other, more") == ["other", "more", "polyglyph"]
    assert plugins_to_load("polyglyph") == ["polyglyph"]
    assert plugins_to_load("") == ["polyglyph"]


@pytest.mark.parametrize(("chosen", "reports"), [(None, False), ("0", True), ("1", False)])
def test_vllm_reports_no_usage_unless_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, *, reports: bool
):
    for name in ("VLLM_NO_USAGE_STATS", "VLLM_PLUGINS", "VLLM_CPU_KVCACHE_SPACE"):
        monkeypatch.setenv(name, "")  # so that what the launcher sets is undone afterwards
        monkeypatch.delenv(name)
    if chosen is not None:
        monkeypatch.setenv("VLLM_NO_USAGE_STATS", chosen)
    launch.prepare_environment()
    assert (os.environ["VLLM_NO_USAGE_STATS"] == "0") is reports


def test_without_a_choice_everything_that_would_have_loaded_still_does(monkeypatch: pytest.MonkeyPatch):
    installed = {"vllm.general_plugins": ["resolver", "polyglyph"], "vllm.platform_plugins": ["chip"]}

    def entry_points(*, group: str) -> EntryPoints:
        return EntryPoints(EntryPoint(name, "module", group) for name in installed.get(group, []))

    monkeypatch.setattr(launch, "entry_points", entry_points)
    assert plugins_to_load(None) == ["resolver", "polyglyph", "chip"]


def serve(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "polyglyph.clients", "serve", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def dense_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dense")
    config: dict[str, Any] = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "intermediate_size": 64,
        "vocab_size": 32,
        "max_position_embeddings": 64,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_wrong_setting_ends_the_command_at_once():
    ended = serve("model", "--max-body-bytes", "12")
    assert ended.returncode == NOT_STARTED
    assert "--max-body-bytes" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_dense_model_is_refused_with_the_reason(dense_model: Path):
    ended = serve(str(dense_model), "--no-stats", "--enforce-eager")
    assert ended.returncode == NOT_STARTED, ended.stderr
    assert "dense model" in ended.stderr
    assert "Mixture-of-Experts" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_mode_that_cannot_be_steered_is_refused_with_the_reason():
    ended = serve("model", "--api-server-count", "2")
    assert ended.returncode == NOT_STARTED, ended.stderr
    assert "--api-server-count 2" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_vllms_own_flags_are_shown_on_request():
    shown = serve("--vllm-help", "max-model-len")
    assert shown.returncode == 0
    assert "--max-model-len" in shown.stdout


def test_a_model_that_is_not_there_is_refused_in_words(tmp_path: Path):
    ended = serve(str(tmp_path / "nothing"), HF_HUB_OFFLINE="1")
    assert ended.returncode == NOT_STARTED, ended.stderr
    assert "nothing" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "errors.pydantic.dev" not in ended.stderr


WAITING_START = """
import time
from polyglyph.server import launch

launch.check_vllm_version = lambda: (print("waiting", flush=True), time.sleep(300))
launch.run([])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_server_is_ready_ends_it(number: signal.Signals):
    started = subprocess.Popen(
        [sys.executable, "-c", WAITING_START], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with started:
        assert started.stdout is not None
        assert any(line == "waiting\n" for line in started.stdout)
        started.send_signal(number)
        _, said = started.communicate(timeout=60)
    assert started.returncode == 128 + number
    assert f"ended by {number.name} before the server was ready" in said
