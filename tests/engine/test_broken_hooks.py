"""A hook taken away from outside keeps a server from becoming ready, and makes `polyglyph verify` fail."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.saboteur import install_saboteur
from tests.support.server import START_TIMEOUT_S, NotReadyError, Server, serving

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 400)


def test_a_server_whose_worker_lacks_a_hook_does_not_become_ready(tmp_path: Path) -> None:
    environment = install_saboteur(tmp_path, moment="at start")
    with (
        pytest.raises(NotReadyError, match=r"layer 3 \(model\.layers\.3\.mlp\.experts\) has no hook"),
        serving(tmp_path, ["--enforce-eager"], environment=environment),
    ):
        pass


def test_verify_fails_when_a_hook_goes_after_the_start(tmp_path: Path) -> None:
    sign = tmp_path / "now"
    environment = install_saboteur(tmp_path, moment=str(sign))
    with serving(tmp_path, ["--enforce-eager", "--admin-key", "k"], environment=environment) as server:
        sign.touch()
        _wait_for(sign.with_suffix(".done"))
        code, lines = _verify(server)
    assert code == 1
    failed = {line["promise"] for line in lines if line["verdict"] == "failed"}
    # Bans no longer hold in the layer, and the worker reports that its hook is gone.
    assert failed == {3, 10}


def _verify(server: Server) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "polyglyph.clients", "--url", server.url, "--admin-key", "k", "verify", "--json"]
    # The lines that look at every layer; the others need a second engine or many rounds.
    done = subprocess.run(
        [*command, "--only", "3", "--only", "10"], capture_output=True, text=True, timeout=400, check=False
    )
    return done.returncode, json.loads(done.stdout)["promises"]


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail("the saboteur did nothing")
