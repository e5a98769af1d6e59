"""Promise 1: with the plugin loaded and nothing asked, tokens and log-probabilities equal plain vLLM's, bit for bit."""

from dataclasses import replace
from typing import Any

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.errors import AnswerError
from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import Finding, NotCheckedError
from polyglyph.clients.verify.probe import ABSENT, Probe, Question, new_nonce
from polyglyph.clients.verify.prompts import TEXTS, marked
from polyglyph.clients.verify.reference import plain_server
from polyglyph.contract.errors import RequestError

SAMPLINGS: tuple[dict[str, Any], ...] = ({}, {"temperature": 0.8, "seed": 7})


def check_idle(examination: Examination) -> Finding:
    """Ask a plain vLLM server and this one the same, one request at a time, with a cold and a warm prefix cache."""
    if examination.reference_url:
        with Polyglyph(examination.reference_url) as plain:
            return _compare(examination, Probe(plain))
    with plain_server(examination.model.engine) as plain:
        return _compare(examination, Probe(plain))


def _compare(examination: Examination, plain: Probe) -> Finding:
    _check_plain(plain.server)
    figures = {"requests": 0, "tokens": 0, "differing": 0, "largest_deviation": 0.0}
    fault = None
    for text in TEXTS:
        for sampling in SAMPLINGS:
            question = Question(
                prompt=marked(examination.nonce, text),
                steering=ABSENT,
                max_tokens=examination.max_tokens,
                cache_salt=new_nonce(),
                **sampling,
            )
            for _ in ("cold", "warm"):
                fault = _difference(examination, plain, question, figures) or fault
    return Finding("tokens and log-probabilities equal plain vLLM's, bit for bit", fault, figures)


def _check_plain(server: Polyglyph) -> None:
    try:
        server.model()
    except (AnswerError, RequestError):
        return
    raise NotCheckedError(f"{server.url} is no plain vLLM server but one with Polyglyph; start it without")


def _difference(examination: Examination, plain: Probe, question: Question, figures: dict[str, Any]) -> str | None:
    expected = plain.ask(question)
    ours = examination.probe.ask(replace(question, steering=examination.unsteered))
    figures["requests"] += 1
    figures["tokens"] += len(expected.tokens)
    if ours.equals(expected):
        return None
    figures["differing"] += 1
    figures["largest_deviation"] = max(figures["largest_deviation"], ours.deviation(expected))
    return f"{question.prompt!r}: {ours.difference(expected)}"
