"""The context of a conversation: a chat or a text, as a server is asked to score it."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evaluation.reply import Question
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.clients.errors import AnswerError
from polyglyph.contract.base import digest, read_json

FEWEST_TOKENS = 4
"""Of a context that can be cut into two halves with a loss each."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the server computes.

    Attributes:
        body: `messages` or `prompt`, with what else a request of this conversation has.
    """

    body: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the content, for provenance."""
        return digest(dict(self.body))

    def question(self, model: str, steering: Any) -> "Question[Scored]":
        """Ask for the log-probability of every token of the context.

        Args:
            model: The served model's name.
            steering: The `steering` field; False for none.
        """
        path = "/v1/chat/completions" if "messages" in self.body else "/v1/completions"
        asked = {
            **self.body,
            "model": model,
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
            "return_token_ids": True,
            # Nothing is shared: every candidate's context is computed under its own edits anyway.
            "cache_salt": secrets.token_hex(16),
            "steering": steering,
        }
        return Question(method="POST", path=path, read=_read_scored, body=asked)


@dataclass(frozen=True, eq=False)
class Scored:
    """A context's tokens as the server computed them.

    Attributes:
        losses_T: float64, nats of each token but the first, which nothing comes before.
        is_steered: Whether the server says that it applied the steering.
    """

    losses_T: NDArray[np.float64]
    is_steered: bool


def read_messages(path: Path) -> Context:
    """Read a chat: a JSON list of messages, or an object with `messages` and further fields of a chat request.

    Raises:
        RequestError: It is none; the text names the file.
    """
    document = read_json(path, kind="chat")
    body = document if isinstance(document, dict) else {"messages": document}
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise IdentificationError(f"{path}: expected a list of chat messages, or an object with 'messages'")
    taken = sorted({"stream", "n", "steering", "routing", "model", "max_tokens"} & body.keys())
    if taken:
        raise IdentificationError(f"{path}: leave out {', '.join(taken)}, which rewiring sets itself")
    return Context(body=body)


def _read_scored(answer: str) -> Scored:
    try:
        document = json.loads(answer)
        # A chat's stand beside its choices, a text's in them.
        holder = document if document.get("prompt_logprobs") else document["choices"][0]
        places, ids = holder["prompt_logprobs"], holder["prompt_token_ids"]
        losses = [-float(place[str(token)]["logprob"]) for place, token in zip(places, ids, strict=True) if place]
        applied = bool((document.get("steering") or {})["applied"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise AnswerError(
            f"expected an answer with prompt_logprobs and steering, got {answer[:200]!r}: is it a Polyglyph server's?"
        ) from error
    return Scored(np.asarray(losses, dtype=np.float64), applied)
