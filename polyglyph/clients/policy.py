"""`polyglyph policy`: which plan an `auto` request gets, by request script and guessed source script."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.connection import with_server
from polyglyph.clients.output import AsJson, print_data, print_json, say
from polyglyph.contract.entity_guess import EntityGuess
from polyglyph.contract.guess import Guess
from polyglyph.contract.pattern_library import PatternLibrary
from polyglyph.contract.policy import Policy, PolicyRule, PolicyTarget, load_policy

app = typer.Typer(no_args_is_help=True, help="Read and change which plan an 'auto' request gets.")


@app.command("show")
@with_server
def show(server: Polyglyph, *, as_json: AsJson = False) -> None:
    """Show the policy: request script, guessed source script, plan, strength and phases."""
    policy = server.policy.get()
    if as_json:
        print_json(policy.to_json())
    else:
        print_data(_table(policy))
        if policy.guess is not None:
            say(_describe_guess(policy.guess))
        if policy.patterns is not None:
            say(_describe_patterns(policy.patterns))


@app.command("push")
@with_server
def push(
    server: Polyglyph,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy document, polyglyph.policy/1.")],
    as_json: AsJson = False,
) -> None:
    """Replace the policy; needs the admin key."""
    policy = load_policy(file)
    server.policy.put(policy)
    if as_json:
        print_json(policy.to_json())
    else:
        say(f"the policy now has {len(policy.rules())} rules with {len(policy.targets())} plans")


def _table(policy: Policy) -> Table:
    table = Table("request script", "guessed source", "plan", "strength", "phases")
    for script, rule in sorted(policy.scripts.items()):
        _add_rows(table, script, rule)
    _add_rows(table, "any other", policy.otherwise or PolicyRule())
    return table


def _add_rows(table: Table, script: str, rule: PolicyRule) -> None:
    for source, target in sorted((rule.sources or {}).items()):
        table.add_row(script, source, *_cells(target))
    table.add_row(script, "none" if rule.sources else "", *_cells(rule.fall_back))


def _cells(target: PolicyTarget | None) -> tuple[str, str, str]:
    if target is None:
        return "none", "", ""
    return target.plan, f"{target.strength:g}", " ".join(target.phases or ("the plan's",))


def _describe_patterns(patterns: PatternLibrary) -> str:
    plans = ", ".join(f"{pattern.name}: {pattern.plan or 'no steering'}" for pattern in patterns.library)
    return (
        f"before the rules, {len(patterns.layers)} layers of the prompt's routing are compared with {plans}; the "
        f"nearest counts from a cosine of {patterns.min_similarity:g}"
    )


def _describe_guess(guess: Guess) -> str:
    if isinstance(guess, EntityGuess):
        own = ", then by the entities' own script" if guess.by_entity_script else ""
        return f"the source script is guessed by {len(guess.words)} words and {len(guess.suffixes)} suffixes{own}"
    return (
        f"the source script ({', '.join(guess.scripts)}) is guessed by a probe of {len(guess.layers)} layers, from a "
        f"probability of {guess.threshold:g}"
    )
