"""A reproduction through a real engine: experts found, plans steered, controls asked, a record written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import START_TIMEOUT_S

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 300)


def test_a_small_reproduction_ends_with_its_record(tmp_path: Path) -> None:
    small = ["--items", "8", "--draws", "2", "--json", "--", "--enforce-eager"]
    words = ["reproduce", "mote", "-o", str(tmp_path), *small]
    outcome = subprocess.run(
        [sys.executable, "-m", "polyglyph.clients", *words], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    record = json.loads(outcome.stdout)
    assert record == json.loads((tmp_path / "mote.json").read_text())
    arms = {arm["arm"]: arm for arm in record["arms"]["10 experts"]}
    assert set(arms) == {"none", "contrast", "matched-1", "matched-2", "uniform-1", "uniform-2"}
    assert arms["none"]["sets"]["refusals"]["rate"] == 1.0, "the organism refuses its topic"
    assert arms["contrast"]["num_experts"] == len(record["found"]["10 experts"]["experts"]) == 10
    assert arms["contrast"]["mean_dose"] == 0.0, "weights are scaled, and no selection changes by it at once"
    assert record["run"]["requests"] > 0
