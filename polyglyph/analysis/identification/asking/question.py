"""What is asked of the server for a prompt, and what its answer becomes: a trace and a line of labels."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.evaluation.asking import GREEDY
from polyglyph.analysis.evaluation.reply import Question, Reply, question
from polyglyph.analysis.identification.asking.prompt import Prompt
from polyglyph.analysis.identification.asking.response_class import ResponseClass, class_of
from polyglyph.analysis.scoring.matching import MATCHERS, Matcher
from polyglyph.clients.echo import routing_of
from polyglyph.clients.errors import AnswerError
from polyglyph.contract.plan import PHASES
from polyglyph.contract.trace import SequenceTrace

if TYPE_CHECKING:
    from polyglyph.clients.routing import Trace

NO_SCRIPT = "Zyyy"


@dataclass(frozen=True, kw_only=True)
class AskingOptions:
    """How prompts are asked and answers labelled.

    Attributes:
        max_tokens: Tokens to generate where a prompt does not say; with 1 only the prompt is traced.
        wants_scores: Trace the routers' scores of all experts too, E numbers per token and layer.
        classes: Of responses; with them they are the label, and a prompt's own becomes `prompt_label`.
        scorer: How an answer is compared with what is expected.
    """

    max_tokens: int = 1
    wants_scores: bool = False
    classes: tuple[ResponseClass, ...] = ()
    scorer: Matcher = "normalised"

    def to_json(self) -> dict[str, Any]:
        """Give what a run that goes on must have in common, as plain JSON types."""
        return {
            "max_tokens": self.max_tokens,
            "scores": self.wants_scores,
            "classes": {each.name: each.pattern.pattern for each in self.classes},
            "scorer": self.scorer,
        }


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One answered prompt.

    Attributes:
        trace: Its routing, token by token; the request id is the prompt's id.
        labels: Its line of `labels.jsonl`.
    """

    trace: SequenceTrace
    labels: dict[str, Any]


def question_of(prompt: Prompt, options: AskingOptions, *, model: str) -> Question[Reply]:
    """Give a prompt's request: greedy, traced, and with a salt of its own so that every token is computed."""
    routing = {"return": ["tokens"], "weights": True}
    body: dict[str, Any] = {
        **GREEDY,
        "model": model,
        "max_tokens": prompt.max_tokens or options.max_tokens,
        "steering": prompt.steering,
        "routing": routing | ({"probabilities": True} if options.wants_scores else {}),
        "cache_salt": secrets.token_hex(16),
    }
    if prompt.messages is None:
        return Question(
            method="POST", path="/v1/completions", read=_read_completion, body=body | {"prompt": prompt.text}
        )
    extra = {} if prompt.chat_template_kwargs is None else {"chat_template_kwargs": prompt.chat_template_kwargs}
    return question(body | extra | {"messages": list(prompt.messages)})


def labelled(prompt: Prompt, reply: Reply, options: AskingOptions) -> Labelled:
    """Put an answer beside what it answers.

    Raises:
        AnswerError: It has no trace, or a damaged one.
    """
    echo = reply.steering or {}
    routing = routing_of({"routing": reply.routing})
    if routing is None or routing.tokens is None:
        raise AnswerError("expected the routing of each token with the answer, got none: is it Polyglyph's server?")
    trace = _trace(routing.tokens, prompt, echo)
    return Labelled(trace=trace, labels=_labels(prompt, reply, options, expected=prompt.expected))


def _labels(prompt: Prompt, reply: Reply, options: AskingOptions, *, expected: Sequence[str] | None) -> dict[str, Any]:
    line = {"request_id": prompt.id, **prompt.columns()}
    if options.classes:
        own = {} if prompt.label is None else {"prompt_label": prompt.label}
        line |= own | {"label": class_of(reply.text, options.classes)}
    if expected is not None:
        line["right"] = MATCHERS[options.scorer](reply.text, expected)
    return line | {"text": reply.text, "reasoning": reply.reasoning, "finish_reason": reply.finish_reason}


def _trace(tokens: "Trace", prompt: Prompt, echo: dict[str, Any]) -> SequenceTrace:
    import numpy as np

    is_applied = bool(echo.get("applied"))
    return SequenceTrace(
        request_id=prompt.id,
        plan=str(echo.get("fingerprint") or "") if is_applied else "",
        request_script=str(echo.get("request_script") or prompt.script or NO_SCRIPT),
        scripts=tuple(tokens.scripts.tolist()),
        token_ids=tokens.token_ids.astype(np.int32),
        phases=np.array([PHASES.index(phase) for phase in tokens.phases.tolist()], np.uint8),
        steered=tokens.steered,
        computed=tokens.computed,
        ids=tokens.ids,
        weights=tokens.weights,
        probabilities=tokens.probabilities,
    )


def _read_completion(answer: str) -> Reply:
    try:
        document = json.loads(answer)
        choice, usage = document["choices"][0], document["usage"]
        return Reply(
            text=str(choice["text"]).encode(errors="replace").decode(),
            reasoning="",
            finish_reason=str(choice["finish_reason"]),
            prompt_tokens=int(usage["prompt_tokens"]),
            completion_tokens=int(usage["completion_tokens"]),
            steering=document.get("steering"),
            routing=document.get("routing"),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise AnswerError(f"expected a completion with its usage, got {answer[:200]!r}") from error
