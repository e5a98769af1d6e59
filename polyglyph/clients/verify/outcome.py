"""What one completion request gave back, whole or in chunks: its choices, its usage and its routing."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyglyph.clients.echo import routing_of, steering_of
from polyglyph.clients.profile.usage import Usage, usage_of
from polyglyph.clients.routing import Routing
from polyglyph.clients.verify.sample import Sample
from polyglyph.contract.steering import SteeringEcho

if TYPE_CHECKING:
    from openai.types import Completion, CompletionChoice, CompletionUsage


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One answer.

    Attributes:
        samples: What was sampled, by choice.
        usage: Tokens, as the API counts them; None when the server did not say.
        steering: The server's steering echo.
        routing: What it tells of the routing.
    """

    samples: tuple[Sample, ...]
    usage: Usage | None
    steering: SteeringEcho | None
    routing: Routing | None

    @property
    def passed_tokens(self) -> int:
        """Tokens that went through the model or came from its cache: every choice has the prompt and a last token.

        Raises:
            AnswerError: The server did not say.
        """
        usage = self.usage or usage_of(None)
        return len(self.samples) * (usage.prompt_tokens - 1) + usage.generated_tokens


def read_outcome(events: "Iterable[Completion]") -> Outcome:
    """Join an answer's events: the one of a whole answer, or the chunks of a stream."""
    pieces: defaultdict[int, list[Completion]] = defaultdict(list)
    usage: Usage | None = None
    steering: SteeringEcho | None = None
    routing: Routing | None = None
    for event in events:
        for choice in event.choices:
            pieces[choice.index].append(event.model_copy(update={"choices": [choice]}))
        usage = usage_of(event.to_dict()) if event.usage else usage
        steering = steering_of(event) or steering
        routing = routing_of(event) or routing
    return Outcome(
        samples=tuple(read_sample(pieces[index]) for index in sorted(pieces)),
        usage=usage,
        steering=steering,
        routing=routing,
    )


def read_sample(events: "Sequence[Completion]") -> Sample:
    """Join the events of one choice."""
    choices = [choice for event in events for choice in event.choices]
    last = events[-1] if events else None
    routing = routing_of(last) if last else None
    return Sample(
        tokens=tuple(_logprobs(choices, "tokens")),
        logprobs=tuple(_logprobs(choices, "token_logprobs")),
        top_logprobs=tuple(tuple(top.items()) for top in _logprobs(choices, "top_logprobs")),
        prompt_ids=tuple(_extra(choices[:1], "prompt_token_ids")),
        ids=tuple(_extra(choices, "token_ids")),
        num_cached_tokens=num_cached_tokens(last.usage) if last else None,
        steering=steering_of(last) if last else None,
        summary=routing.summary if routing else None,
    )


def num_cached_tokens(usage: "CompletionUsage | None") -> int | None:
    """Give how many prompt tokens came from the prefix cache; None when the server does not say."""
    details = usage.to_dict().get("prompt_tokens_details") if usage else None
    return details.get("cached_tokens") if isinstance(details, dict) else None


def _logprobs(choices: "Sequence[CompletionChoice]", name: str) -> list[Any]:
    return [value for choice in choices for value in getattr(choice.logprobs, name, None) or ()]


def _extra(choices: "Sequence[CompletionChoice]", name: str) -> list[Any]:
    return [value for choice in choices for value in (choice.model_extra or {}).get(name) or ()]
