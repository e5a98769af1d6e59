"""Candidates are ranked by their own tokens behind the direct prompt, with and without the plan, each item once."""

from pathlib import Path
from typing import Any

import pytest

from polyglyph.analysis.evaluation.benchmark import Header
from polyglyph.analysis.evaluation.log import read_log
from polyglyph.analysis.evaluation.ranking import RANKINGS, Ranking, rankable, read_rankings
from polyglyph.analysis.evaluation.reading import make_benchmark
from tests.analysis.evaluation_server import EvaluationServer, answering
from tests.analysis.test_evaluation_arms import SCRIPTS, item
from tests.analysis.test_evaluation_runner import PLANS, run

ITEMS = [
    item(query, source, half="test", fact=source, candidates=["aa", "c", "bbb"])
    for query in SCRIPTS
    for source in SCRIPTS
]


async def ranked(server: EvaluationServer, folder: Path, **changes: Any) -> Any:
    asked = make_benchmark(Header(name="x"), ITEMS)
    await run(server, folder, "plan", asked=asked, rank_facts=3, **changes)
    return read_rankings(folder)


async def test_candidates_are_ranked_by_the_mean_of_their_own_tokens(tmp_path: Path) -> None:
    with answering(EvaluationServer(plans=dict(PLANS))) as server:
        ranks = await ranked(server, tmp_path)
    assert len(ranks) == 2 * 3 * 4
    scores = {(row.item, row.arm): row.scores for row in read_log(tmp_path / RANKINGS, Ranking)}
    assert len(scores) == 3 * 4 + 3 * 3, "at home there is no plan"
    for row in ranks.iter_rows(named=True):
        query, source = row["item"].split("-")
        is_steered = row["arm"] == "plan-direct" and query != source
        # The server finds later letters less likely without steering, and likelier with it.
        assert row["ranking"] == ([1, 2, 0] if is_steered else [0, 2, 1])
    some = next(scores[key] for key in scores if key[1] == "none-direct")
    assert some == pytest.approx((-500.097, -500.099, -500.098))


async def test_requests_hold_the_direct_prompt_and_say_what_steers_them(tmp_path: Path) -> None:
    with answering(EvaluationServer(plans=dict(PLANS))) as server:
        await ranked(server, tmp_path)
    for body in server.scored:
        assert body["steering"] is False or body["steering"]["plan"] in PLANS
        assert [prompt[prompt.index(1) + 1 :] for prompt in body["prompt"]] == [[97, 97], [99], [98, 98, 98]]


async def test_a_ranking_that_is_there_is_not_asked_again(tmp_path: Path) -> None:
    with answering(EvaluationServer(plans=dict(PLANS))) as server:
        await ranked(server, tmp_path)
        log = tmp_path / RANKINGS
        log.write_bytes(log.read_bytes()[:-5])
        server.scored = []
        await ranked(server, tmp_path, resumes=True)
    assert len(server.scored) == 1


def test_facts_that_are_asked_once_or_have_no_candidates_cannot_be_ranked() -> None:
    lonely = [item("Cyrl", "Latn", candidates=["a", "b"]), item("Cyrl", "Deva"), item("Latn", "Deva")]
    assert rankable(lonely, num_facts=9, seed=0) == ()
    assert {found.fact for found in rankable(ITEMS, num_facts=2, seed=0)} < set(SCRIPTS)
