"""`polyglyph chat`: one question to the server, steered or not, or both side by side."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyglyph.clients import chat_view
from polyglyph.clients.client import Polyglyph
from polyglyph.clients.connection import with_server
from polyglyph.clients.errors import AnswerError, openai_errors
from polyglyph.clients.output import AsJson, print_json
from polyglyph.contract.plan import PHASES
from polyglyph.contract.steering import parse_steering

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from polyglyph.clients.routing import Routing

PANEL = "Steering"


@with_server
def chat(
    server: Polyglyph,
    *,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say; '-' reads it from stdin.")],
    plan: Annotated[
        str | None,
        typer.Option("--plan", help="Steer by this plan of the server, or by several: a,b.", rich_help_panel=PANEL),
    ] = None,
    strength: Annotated[
        float | None, typer.Option("--strength", help="The dial of --plan (default: 1).", rich_help_panel=PANEL)
    ] = None,
    phases: Annotated[
        list[str] | None,
        typer.Option("--phases", help="Phases that --plan steers: prompt, reasoning, answer.", rich_help_panel=PANEL),
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="Let the server's policy choose the plan.", rich_help_panel=PANEL)
    ] = False,
    no_steering: Annotated[
        bool, typer.Option("--no-steering", help="Turn the server's default steering off.", rich_help_panel=PANEL)
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show the unsteered answer beside it.", rich_help_panel=PANEL)
    ] = False,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Show each token's script, phase and first experts below the answer.")
    ] = False,
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="Ask the template for a thinking block, or none.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="System message.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")] = None,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 is greedy.")] = 0.0,
    stream: Annotated[
        bool | None, typer.Option("--stream/--no-stream", help="Print while it is written (default: on a terminal).")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Which served model (default: the first).")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask one question. The answer goes to stdout, reasoning and the steering echo to stderr."""
    steering = _steering(plan, strength, _split(phases), auto=auto, no_steering=no_steering)
    if compare and (steering is None or no_steering):
        raise typer.BadParameter("comparing needs something to compare with: add --plan NAME or --auto")
    if compare and tokens:
        raise typer.BadParameter("--tokens shows one answer's; leave --compare out")
    request: dict[str, Any] = {
        "messages": _messages(sys.stdin.read() if text == "-" else text, system),
        "max_completion_tokens": max_tokens,
        "temperature": temperature,
    }
    template: dict[str, Any] = {} if thinking is None else {"chat_template_kwargs": {"enable_thinking": thinking}}
    extra = template | ({"routing": {"return": ["tokens"]}} if tokens else {})
    with openai_errors(server.url):
        request["model"] = model or _first_model(server)
        if compare:
            _compare(server, request, extra, steering, as_json=as_json)
        elif as_json:
            print_json(_ask(server, request, _extra(extra, steering)).to_dict())
        else:
            is_streamed = stream if stream is not None else sys.stdout.isatty()
            routing = _show(server, request, _extra(extra, steering), is_streamed=is_streamed)
            if tokens:
                chat_view.print_tokens(routing, text_of=server.detokenize)


def _steering(
    plan: str | None, strength: float | None, phases: list[str] | None, *, auto: bool, no_steering: bool
) -> Any:
    """Give the `steering` field, or None to leave it out."""
    if sum((plan is not None, auto, no_steering)) > 1:
        raise typer.BadParameter("--plan, --auto and --no-steering exclude each other")
    if plan is None and (strength is not None or phases):
        raise typer.BadParameter("--strength and --phases belong to --plan")
    if auto or no_steering:
        return "auto" if auto else False
    if plan is None:
        return None
    names = [name.strip() for name in plan.split(",")]
    field: dict[str, Any] = {
        "plan": names if len(names) > 1 else plan,
        "strength": 1.0 if strength is None else strength,
    }
    field |= {"phases": phases} if phases else {}
    parse_steering(field)
    return field


def _split(phases: list[str] | None) -> list[str] | None:
    """Read `--phases a,b --phases c`."""
    named = [phase.strip() for given in phases or () for phase in given.split(",")]
    for phase in named:
        if phase not in PHASES:
            raise typer.BadParameter(f"--phases: expected one of {', '.join(PHASES)}, got '{phase}'")
    return named or None


def _messages(text: str, system: str | None) -> list[dict[str, str]]:
    before = [{"role": "system", "content": system}] if system is not None else []
    return [*before, {"role": "user", "content": text}]


def _first_model(server: Polyglyph) -> str:
    models = server.openai.models.list().data
    if not models:
        raise AnswerError(f"{server.url} serves no model")
    return models[0].id


def _extra(template: dict[str, Any], steering: Any) -> dict[str, Any]:
    return template if steering is None else {**template, "steering": steering}


def _ask(server: Polyglyph, request: dict[str, Any], extra: dict[str, Any]) -> "ChatCompletion":
    answer: ChatCompletion = server.openai.chat.completions.create(**request, extra_body=extra)
    return answer


def _stream(server: Polyglyph, request: dict[str, Any], extra: dict[str, Any]) -> "Iterable[ChatCompletionChunk]":
    chunks: Iterable[ChatCompletionChunk] = server.openai.chat.completions.create(
        **request, extra_body=extra, stream=True
    )
    return chunks


def _show(server: Polyglyph, request: dict[str, Any], extra: dict[str, Any], *, is_streamed: bool) -> "Routing | None":
    expects_echo = "steering" in extra
    if is_streamed:
        return chat_view.print_stream(_stream(server, request, extra), expects_echo=expects_echo)
    return chat_view.print_answer(_ask(server, request, extra), expects_echo=expects_echo)


def _compare(
    server: Polyglyph, request: dict[str, Any], template: dict[str, Any], steering: Any, *, as_json: bool
) -> None:
    summary = {"routing": {"return": ["summary"]}}
    unsteered = _ask(server, request, _extra(template, False) | summary)
    steered = _ask(server, request, _extra(template, steering) | summary)
    if as_json:
        print_json({"unsteered": unsteered.to_dict(), "steered": steered.to_dict()})
    else:
        chat_view.print_comparison(unsteered, steered)
