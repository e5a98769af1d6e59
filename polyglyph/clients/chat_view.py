"""How answers look on a terminal."""

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from polyglyph.clients.echo import routing_of, steering_of
from polyglyph.clients.errors import AnswerError
from polyglyph.clients.output import print_data, say, words_console
from polyglyph.clients.routing import Routing
from polyglyph.clients.thinking import ThinkingSplitter, split_thinking
from polyglyph.clients.token_table import token_table
from polyglyph.contract.routing import RoutingSummary
from polyglyph.contract.steering import SteeringEcho, UnsteeredReason

_REASONS: Mapping[UnsteeredReason, str] = {
    "no_rule": "the policy has no rule for the request script",
    "no_guess": "no source script was guessed",
    "no_plan_for_source": "the policy has no plan for the guessed source script",
    "same_script": "the question is in its source script",
    "no_plan_for_pattern": "the policy has no plan for the pattern of its routing",
}

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
    from openai.types.chat.chat_completion_chunk import ChoiceDelta


def print_answer(answer: "ChatCompletion", *, expects_echo: bool) -> Routing | None:
    """Print an answer to stdout, and its reasoning and echo to stderr; gives the routing that came with it."""
    reasoning, text = split_reasoning(answer.choices[0].message)
    if reasoning:
        say(Text(reasoning), style="dim")
    print(text)
    say_echo(steering_of(answer), expects_echo=expects_echo)
    return routing_of(answer)


def print_stream(chunks: "Iterable[ChatCompletionChunk]", *, expects_echo: bool) -> Routing | None:
    """Print an answer while it is written; gives the routing that came with its end."""
    echo: SteeringEcho | None = None
    routing: Routing | None = None
    page = _Page()
    splitter = ThinkingSplitter()
    for chunk in chunks:
        echo = steering_of(chunk) or echo
        routing = routing_of(chunk) or routing
        for delta in (choice.delta for choice in chunk.choices[:1]):
            page.write(is_reasoning=True, text=_reasoning_of(delta))
            for is_reasoning, text in splitter.feed(delta.content or ""):
                page.write(is_reasoning=is_reasoning, text=text)
    for is_reasoning, text in splitter.finish():
        page.write(is_reasoning=is_reasoning, text=text)
    page.finish()
    say_echo(echo, expects_echo=expects_echo)
    return routing


def print_tokens(routing: Routing | None, *, text_of: Callable[[Sequence[int]], str]) -> None:
    """Print an answer's tokens, prompt and generated, with the experts that computed them.

    Args:
        routing: What came with the answer.
        text_of: Gives the text of token ids.

    Raises:
        AnswerError: No trace came.
    """
    if routing is None or routing.tokens is None:
        raise AnswerError(
            "the answer holds no trace, which was asked for: this is no Polyglyph server, or an older one"
        )
    trace = routing.tokens
    texts = {token: text_of([token]) if token >= 0 else "" for token in set(trace.token_ids.tolist())}
    print_data("")
    print_data(token_table(trace, texts, width=shutil.get_terminal_size().columns))


class _Page:
    """Where a stream is written: reasoning to stderr, the answer to stdout, each on lines of its own."""

    def __init__(self) -> None:
        self._has_open_reasoning = False

    def write(self, *, is_reasoning: bool, text: str) -> None:
        """Write one piece."""
        if not text:
            return
        if is_reasoning:
            words_console().print(Text(text), style="dim", end="", soft_wrap=True)
            self._has_open_reasoning = True
            return
        self._close_reasoning()
        sys.stdout.write(text)
        sys.stdout.flush()

    def finish(self) -> None:
        """End the last line."""
        self._close_reasoning()
        print(flush=True)

    def _close_reasoning(self) -> None:
        if self._has_open_reasoning:
            say("")
        self._has_open_reasoning = False


def print_comparison(unsteered: "ChatCompletion", steered: "ChatCompletion") -> None:
    """Print two answers side by side, with dose and tokens by phase below."""
    table = Table(expand=True, show_lines=True)
    table.add_column("unsteered", ratio=1)
    table.add_column(_title(steering_of(steered)), ratio=1)
    table.add_row(_body(unsteered), _body(steered))
    table.add_row(_figures(unsteered), _figures(steered))
    print_data(table)


def split_reasoning(message: "ChatCompletionMessage") -> tuple[str, str]:
    """Give reasoning and answer, whether the server parsed the thinking block or left it in the text."""
    reasoning, text = _reasoning_of(message), message.content or ""
    return (reasoning, text) if reasoning else split_thinking(text)


def say_echo(echo: SteeringEcho | None, *, expects_echo: bool) -> None:
    """Say what the server did with the request's steering.

    Raises:
        AnswerError: Steering was asked for, and the server says nothing of it.
    """
    if echo is not None:
        say(f"[{describe(echo)}]", style="cyan")
    elif expects_echo:
        raise AnswerError("the answer says nothing of the steering that was asked for: this is no Polyglyph server")


def describe(echo: SteeringEcho) -> str:
    """Put a steering echo in one line."""
    if not echo.applied:
        why = f" ({_REASONS[echo.reason]})" if echo.reason else ""
        return f"not steered{why}, {_scripts(echo)}"
    parts = [f"plan {_edits(echo)}", f"strength {echo.strength:g}", f"phases {', '.join(echo.phases)}"]
    parts += [f"by {echo.source}"] if echo.source != "request" else []
    parts += [f"{echo.tokens_steered} tokens steered"] if echo.tokens_steered is not None else []
    parts += [f"dose {echo.dose:.1%}"] if echo.dose is not None else []
    return "; ".join([*parts, _scripts(echo)])


def _scripts(echo: SteeringEcho) -> str:
    entities = f", entities in {echo.entity_script}" if echo.entity_script else ""
    guessed = f", source script {echo.guessed_source or 'not'} guessed by {echo.guess}" if echo.guess else ""
    pattern = f", pattern {echo.pattern or 'none'} (similarity {echo.similarity:.2f})" if echo.similarity else ""
    return f"request script {echo.request_script}{entities}{guessed}{pattern}"


def _reasoning_of(message: "ChatCompletionMessage | ChoiceDelta") -> str:
    """Give the parsed reasoning; vLLM has called the field by both names."""
    extra = message.model_extra or {}
    return str(extra.get("reasoning") or extra.get("reasoning_content") or "")


def _title(echo: SteeringEcho | None) -> str:
    if echo is None or not echo.applied:
        return "steered (nothing applied)"
    return f"{_edits(echo)} x {echo.strength:g}"


def _edits(echo: SteeringEcho) -> str:
    """Name what steered: plans, else dials, else edits."""
    if echo.plan:
        return echo.plan if isinstance(echo.plan, str) else " + ".join(echo.plan)
    return ", ".join(f"{name} {value:+g}" for name, value in (echo.dials or {}).items()) or "inline edits"


def _body(answer: "ChatCompletion") -> Group:
    reasoning, text = split_reasoning(answer.choices[0].message)
    return Group(*([Text(reasoning, style="dim")] if reasoning else []), Text(text))


def _figures(answer: "ChatCompletion") -> Text:
    echo, routing = steering_of(answer), routing_of(answer)
    lines = [_tokens_line(routing.summary)] if routing and routing.summary else []
    if echo and echo.dose is not None:
        lines.append(f"dose {echo.dose:.1%}, {echo.tokens_steered} tokens steered")
    return Text("\n".join(lines), style="cyan")


def _tokens_line(summary: RoutingSummary) -> str:
    return "tokens: " + ", ".join(
        f"{phase} {count}" for phase, count in zip(summary.phases, summary.num_tokens, strict=True)
    )
