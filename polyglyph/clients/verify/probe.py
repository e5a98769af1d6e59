"""Asks a server one question at a time through the OpenAI client and reads tokens and log-probabilities."""

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from threading import Barrier
from typing import TYPE_CHECKING, Any, TypeVar

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.echo import routing_of, steering_of
from polyglyph.clients.errors import AnswerError, openai_errors
from polyglyph.clients.verify.outcome import Outcome, num_cached_tokens, read_outcome, read_sample
from polyglyph.clients.verify.sample import Sample
from polyglyph.contract.errors import RequestError

if TYPE_CHECKING:
    from openai import Stream
    from openai.types import Completion
    from openai.types.chat import ChatCompletion

T = TypeVar("T")
NUM_TOP = 5
ABSENT: Any = object()
"""Leaves the `steering` field out."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request.

    Attributes:
        prompt: A text, or token ids.
        is_raw: Continue the prompt as it is, without the chat template; token ids always are.
        steering: JSON of the `steering` field.
        max_tokens: Longest answer.
        temperature: 0 is greedy.
        seed: For sampling.
        has_fixed_length: Go on to `max_tokens` whatever the model says.
        cache_salt: Keeps the request's prefix cache apart.
        wants_summary: Ask for the request's own routing sums.
        wants_tokens: Ask for its routing token by token.
        tag: Groups its tokens in the stats.
        num_choices: Answers to the same prompt; several need a temperature above 0.
        top_p: Sample among the most likely tokens that have this share; next to 0 it is greedy at any temperature.
    """

    prompt: str | tuple[int, ...]
    is_raw: bool = False
    steering: Any = False
    max_tokens: int = 24
    temperature: float = 0.0
    seed: int | None = None
    has_fixed_length: bool = False
    cache_salt: str | None = None
    wants_summary: bool = False
    wants_tokens: bool = False
    tag: str = ""
    num_choices: int = 1
    top_p: float | None = None

    def extra_body(self) -> dict[str, Any]:
        """Give the fields that OpenAI's API does not know."""
        body: dict[str, Any] = {"return_token_ids": True, "return_tokens_as_token_ids": True}
        body |= {"ignore_eos": True} if self.has_fixed_length else {}
        body |= {"cache_salt": self.cache_salt} if self.cache_salt else {}
        body |= {} if self.steering is ABSENT else {"steering": self.steering}
        routing = self._routing()
        return body | ({"routing": routing} if routing else {})

    def sampling(self) -> dict[str, Any]:
        """Give the fields that chat and plain completion share."""
        fields: dict[str, Any] = {"max_tokens": self.max_tokens, "temperature": self.temperature}
        fields |= {"n": self.num_choices} if self.num_choices > 1 else {}
        fields |= {"top_p": self.top_p} if self.top_p else {}
        return fields if self.seed is None else fields | {"seed": self.seed}

    def _routing(self) -> dict[str, Any]:
        wanted = {"summary": self.wants_summary, "tokens": self.wants_tokens}
        returned = [name for name, is_wanted in wanted.items() if is_wanted]
        return ({"return": returned} if returned else {}) | ({"tag": self.tag} if self.tag else {})


class Probe:
    """A server under examination.

    Chat is asked where the model has a chat template, plain completion where it has none.

    Args:
        server: The client of the server.
    """

    def __init__(self, server: Polyglyph) -> None:
        self.server = server
        # A retry would hide a server that died of a request.
        self._openai = server.openai.with_options(max_retries=0)

    @cached_property
    def model_name(self) -> str:
        """The served model's name."""
        return str(self._model_card["id"])

    @cached_property
    def max_model_len(self) -> int:
        """The longest context, in tokens; 2048 when the server does not say."""
        return int(self._model_card.get("max_model_len") or 2048)

    @cached_property
    def has_chat_template(self) -> bool:
        """Whether the server can chat."""
        try:
            self._chat(Question(prompt="?", max_tokens=1), "?")
        except RequestError as error:
            if "template" not in str(error):
                raise
            return False
        return True

    def ask(self, question: Question) -> Sample:
        """Send one request and wait for its answer.

        Raises:
            RequestError: The server refused it.
            AnswerError: The server failed.
        """
        if isinstance(question.prompt, str) and not question.is_raw and self.has_chat_template:
            return _read_chat(self._chat(question, question.prompt))
        outcome = read_outcome([self._complete(question)])
        return outcome.samples[0]

    def ask_raw(self, question: Question, *, is_streamed: bool = False) -> Outcome:
        """Have a prompt continued, without the chat template, and give all choices with usage and routing.

        Raises:
            RequestError: The server refused it.
            AnswerError: The server failed, or left out the usage.
        """
        if not is_streamed:
            return read_outcome([self._complete(question)])
        with openai_errors(self.server.url), self._stream(question) as chunks:
            return read_outcome(chunks)

    def abort(self, question: Question, *, after: int) -> Sample:
        """Go away from a stream after so many chunks; gives what had come."""
        with openai_errors(self.server.url), self._stream(question) as chunks:
            return read_sample(list(islice(chunks, after)))

    def ask_together(self, questions: Sequence[Question]) -> list[Sample]:
        """Send requests at the same time; answers come in the order of the questions."""
        assert self.has_chat_template is not None  # Known before the start, so that all requests leave at once.
        return self.together(self.ask, questions)

    def together(self, ask: Callable[[Question], T], questions: Sequence[Question]) -> list[T]:
        """Ask at the same time, in the way that is given; answers come in the order of the questions."""
        assert self.model_name  # Fetched before the start.
        start = Barrier(len(questions))

        def ask_at_once(question: Question) -> T:
            start.wait()
            return ask(question)

        with ThreadPoolExecutor(len(questions)) as pool:
            return list(pool.map(ask_at_once, questions))

    @cached_property
    def _model_card(self) -> dict[str, Any]:
        with openai_errors(self.server.url):
            models = self._openai.models.list().data
        if not models:
            raise AnswerError(f"{self.server.url} serves no model")
        return models[0].to_dict()

    def _chat(self, question: Question, text: str) -> "ChatCompletion":
        with openai_errors(self.server.url):
            answer: ChatCompletion = self._openai.chat.completions.create(
                model=self.model_name,
                messages=[{"role": "user", "content": text}],
                logprobs=True,
                top_logprobs=NUM_TOP,
                extra_body=question.extra_body(),
                **question.sampling(),
            )
        return answer

    def _complete(self, question: Question) -> "Completion":
        with openai_errors(self.server.url):
            answer: Completion = self._openai.completions.create(**self._completion(question))
        return answer

    def _stream(self, question: Question) -> "Stream[Completion]":
        fields = self._completion(question) | {"stream": True, "stream_options": {"include_usage": True}}
        chunks: Stream[Completion] = self._openai.completions.create(**fields)
        return chunks

    def _completion(self, question: Question) -> dict[str, Any]:
        prompt = question.prompt if isinstance(question.prompt, str) else list(question.prompt)
        fields = {"model": self.model_name, "prompt": prompt, "logprobs": NUM_TOP}
        return fields | {"extra_body": question.extra_body()} | question.sampling()


def new_nonce() -> str:
    """Give a word that no earlier run has used, so that its prompts are in no prefix cache."""
    return secrets.token_hex(6)


def _read_chat(answer: "ChatCompletion") -> Sample:
    choice = answer.choices[0]
    routing = routing_of(answer)
    entries = (choice.logprobs.content if choice.logprobs else None) or []
    return Sample(
        tokens=tuple(entry.token for entry in entries),
        logprobs=tuple(entry.logprob for entry in entries),
        top_logprobs=tuple(tuple((top.token, top.logprob) for top in entry.top_logprobs) for entry in entries),
        prompt_ids=tuple((answer.model_extra or {}).get("prompt_token_ids") or ()),
        ids=tuple((choice.model_extra or {}).get("token_ids") or ()),
        num_cached_tokens=num_cached_tokens(answer.usage),
        steering=steering_of(answer),
        summary=routing.summary if routing else None,
    )
