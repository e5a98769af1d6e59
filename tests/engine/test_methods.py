"""Every method runs as examples/methods shows it, on a real server; a rewired plan does what it says."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from polyglyph.analysis.identification.rewiring.context import Context
from polyglyph.analysis.identification.rewiring.scorer import Scorer
from polyglyph.clients.async_client import AsyncPolyglyph
from polyglyph.contract.expert_set import load_expert_set
from polyglyph.contract.plan import Plan, load_plan
from tests.house.documents import marked_block, page
from tests.support.server import ADMIN_KEY, START_TIMEOUT_S, Server, serving

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 900)
EXAMPLE = "examples/methods/README.md"
CHAT = [
    {"role": "system", "content": "memovil pusugu tulene"},
    {"role": "user", "content": "მემოვილ ფუსუგუ"},
    {"role": "assistant", "content": "თულენე"},
    {"role": "user", "content": "მემოვილ ფუსუგუ"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), ["--enforce-eager", "--admin-key", ADMIN_KEY]) as running:
        yield running


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder that the example's commands were run in, in their order."""
    where = tmp_path_factory.mktemp("example")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "POLYGLYPH_URL": server.url,
        "POLYGLYPH_ADMIN_KEY": ADMIN_KEY,
    }
    for block in ("tested: asking", "tested: methods"):
        script = marked_block(page(EXAMPLE), block)
        outcome = subprocess.run(
            ["bash", "-euo", "pipefail", "-x", "-c", script],
            cwd=where,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr[-2000:]
    return where


def written(kind: str) -> list[str]:
    words = " ".join(marked_block(page(EXAMPLE), block) for block in ("tested: asking", "tested: methods")).split()
    return [word for word in words if word.endswith(kind)]


@pytest.mark.parametrize("name", written(".plan.json"))
def test_every_plan_of_the_example_is_for_the_served_model(folder: Path, server: Server, name: str) -> None:
    plan = load_plan(folder / name)
    outcome = subprocess.run(
        [sys.executable, "-m", "polyglyph.clients", "--url", server.url, "plans", "validate", str(folder / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert plan.edits
    assert plan.provenance is not None and plan.provenance.method


@pytest.mark.parametrize("name", written(".csv"))
def test_every_table_of_the_example_names_experts_and_holds_no_nan(folder: Path, name: str) -> None:
    table = pl.read_csv(folder / name)
    assert {"layer", "expert", "score", "chosen"} <= set(table.columns)
    numbers = table.select(pl.selectors.float())
    assert not any(numbers[column].is_nan().any() for column in numbers.columns)


def test_each_controlled_plan_has_five_random_ones_of_as_many_edits(folder: Path) -> None:
    for name in ("latin", "refusal"):
        plan = load_plan(folder / f"{name}.plan.json")
        controls = [load_plan(folder / f"{name}-random-{draw}.plan.json") for draw in range(1, 6)]
        assert {len(control.edits) for control in controls} == {len(plan.edits)}
        assert plan.fingerprint not in {control.fingerprint for control in controls}


def test_whether_a_fact_is_known_can_be_read_from_its_prompts_routing(folder: Path) -> None:
    provenance = load_expert_set(folder / "knows.experts.json").provenance
    assert provenance is not None
    statistics = provenance.model_dump()["statistics"]
    assert statistics["auc"]["bootstrap_95"][0] > 0.5


def test_the_page_of_the_example_needs_no_network(folder: Path) -> None:
    text = (folder / "parallel.html").read_text(encoding="utf-8")
    assert "Latn" in text
    assert "http://" not in text and "https://" not in text


def test_a_rewired_plan_lowers_the_loss_it_names_and_is_the_same_one_request_at_a_time(
    server: Server, tmp_path: Path
) -> None:
    chat = tmp_path / "chat.json"
    chat.write_text(json.dumps(CHAT), encoding="utf-8")
    plan, statistics = rewired(server, chat, concurrency=16)
    assert rewired(server, chat, concurrency=1)[0].edits == plan.edits
    before, after = asyncio.run(losses(server, plan))
    assert before == pytest.approx(statistics["loss"]["chosen_on"]["before"], abs=1e-4)
    assert after == pytest.approx(statistics["loss"]["chosen_on"]["after"], abs=1e-4)
    assert after < before - 0.1


def rewired(server: Server, chat: Path, *, concurrency: int) -> tuple[Plan, dict[str, dict[str, dict[str, float]]]]:
    path = chat.with_name(f"at-{concurrency}.plan.json")
    words = ["identify", "rewire", "--url", server.url, "--messages", str(chat), "-o", str(path), "--json"]
    own = ["--budget", "60", "--concurrency", str(concurrency)]
    outcome = subprocess.run(
        [sys.executable, "-m", "polyglyph.clients", *words, *own], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    return load_plan(path), json.loads(outcome.stdout)["statistics"]


async def losses(server: Server, plan: Plan) -> list[float]:
    """Give the loss of the first half of the context, unsteered and under the plan."""
    vector_LE: NDArray[np.float64] = np.zeros((plan.model.layers, plan.model.experts))
    for edit in plan.edits:
        vector_LE[edit.layer, list(edit.experts)] += edit.value
    async with AsyncPolyglyph(server.url) as client:
        context = Context(body={"messages": CHAT})
        scorer = Scorer(client, context, model="organism", phases=plan.phases, concurrency=2)
        scored = await scorer.score([np.zeros_like(vector_LE), vector_LE])
    return [float(each[: len(each) // 2].mean()) for each in scored]
