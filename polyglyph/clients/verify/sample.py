"""What one request gave back, in a form that is compared bit for bit."""

from dataclasses import dataclass

from polyglyph.contract.routing import RoutingSummary
from polyglyph.contract.steering import SteeringEcho


@dataclass(frozen=True)
class Sample:
    """One answer.

    Attributes:
        tokens: The sampled tokens, by id.
        logprobs: Log-probability of each sampled token.
        top_logprobs: The most likely tokens of each position, with log-probabilities.
        prompt_ids: Token ids of the prompt.
        ids: Token ids of the answer.
        num_cached_tokens: Prompt tokens served from the prefix cache; None when the server does not say.
        steering: The server's steering echo.
        summary: The request's own routing sums, when asked for.
    """

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    top_logprobs: tuple[tuple[tuple[str, float], ...], ...]
    prompt_ids: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    num_cached_tokens: int | None = None
    steering: SteeringEcho | None = None
    summary: RoutingSummary | None = None

    def equals(self, other: "Sample") -> bool:
        """Whether tokens and all log-probabilities agree bit for bit."""
        return _compared(self) == _compared(other)

    def deviation(self, other: "Sample") -> float:
        """Give the largest difference of a log-probability, up to and with the first position where tokens differ.

        Positions after that have different pasts and cannot be compared.
        """
        largest = 0.0
        for index in range(min(len(self.tokens), len(other.tokens))):
            largest = max(largest, _distance(dict(self.top_logprobs[index]), dict(other.top_logprobs[index])))
            if self.tokens[index] != other.tokens[index]:
                break
        return largest

    def difference(self, other: "Sample") -> str:
        """Put in words where two samples first differ."""
        for index, (mine, theirs) in enumerate(zip(self.tokens, other.tokens, strict=False)):
            if mine != theirs:
                return f"token {index} is {mine} instead of {theirs}"
            if self.top_logprobs[index] != other.top_logprobs[index]:
                return f"log-probabilities of token {index} differ by {self.deviation(other):.3g}"
        if len(self.tokens) != len(other.tokens):
            return f"{len(self.tokens)} tokens instead of {len(other.tokens)}"
        return "no difference"


def _distance(mine: dict[str, float], theirs: dict[str, float]) -> float:
    """Give the largest difference of two lists of likely tokens.

    A token that only one of them lists is at most as likely as the other's last one: that much is certain.
    """
    if not mine or not theirs:
        return 0.0
    my_last, their_last = min(mine.values()), min(theirs.values())
    shared = [abs(mine[token] - theirs[token]) for token in mine.keys() & theirs.keys()]
    only_mine = [value - their_last for token, value in mine.items() if token not in theirs]
    only_theirs = [value - my_last for token, value in theirs.items() if token not in mine]
    return max(*shared, *only_mine, *only_theirs, 0.0)


def _compared(sample: Sample) -> tuple[object, ...]:
    return sample.tokens, sample.logprobs, sample.top_logprobs
