"""docs/cli.md and docs/client.md say what the code does, and leave nothing out."""

import inspect
import re
from pathlib import Path

import pytest
import typer.main

from polyglyph.clients import AsyncPolyglyph, Polyglyph, calls, errors
from polyglyph.clients.commands import app
from polyglyph.clients.exit_codes import ExitCode
from polyglyph.clients.verify.report import CHECKS
from tests.clients.fake_server import FakeServer, serving

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def cli():
    return (DOCS / "cli.md").read_text(encoding="utf-8")


@pytest.fixture
def page():
    return (DOCS / "client.md").read_text(encoding="utf-8")


def leaves():
    """Give every command of the real app, with its options."""
    root = typer.main.get_command(app)
    context = root.make_context("polyglyph", ["plans"], resilient_parsing=True)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        for verb, leaf in (getattr(command, "commands", None) or {"": command}).items():
            yield f"polyglyph {name} {verb}".strip(), {option for p in leaf.params for option in p.opts}


def test_every_command_has_a_row_and_every_row_a_command(cli):
    rows = set(re.findall(r"^\| `(polyglyph [a-z ]+)`", cli, re.MULTILINE))
    assert rows == {name for name, _ in leaves()}


def test_every_option_of_our_commands_is_named(cli):
    common = {"--help", "-h", "-o", "--output", "--model"}
    options = {option for _, opts in leaves() for option in opts if option.startswith("-")} - common
    missing = {option for option in options if f"`{option}" not in cli and f" {option}" not in cli}
    assert not missing


def test_the_exit_codes_are_those_of_the_enum(cli):
    table = cli.partition("<!-- exit codes -->")[2].partition("\n\n")[0]
    rows = {(int(code), name) for code, name in re.findall(r"^\| (\d+) \| `(\w+)`", table, re.MULTILINE)}
    assert rows == {(code.value, code.name) for code in ExitCode}


def test_every_promise_that_is_checked_is_explained(cli):
    rows = set(re.findall(r"^\| (\d+) ([a-z ]+) \|", cli, re.MULTILINE))
    assert rows == {(str(check.promise), check.name) for check in CHECKS}


def test_the_number_of_wrong_requests_is_the_tables(cli):
    from polyglyph.clients.verify.closed import bad_fields

    with serving(FakeServer()) as server, Polyglyph(server.url) as client:
        assert f"{len(bad_fields(client.model()))} wrong requests" in cli


def test_every_route_of_the_client_is_in_its_table(page):
    listed = set(re.findall(r"`([A-Z]+ /v1/(?:steering|routing)/[^`]*)`", page))
    source = inspect.getsource(calls)
    paths = {path.replace("{quote(name, safe='')}", "{name}") for path in re.findall(r'"(/v1/[^"]*)"', source)}
    assert {row.split()[1] for row in listed} == paths


def test_every_call_of_the_table_exists_on_both_clients(page):
    for client in (Polyglyph("http://fake"), AsyncPolyglyph("http://fake")):
        for dotted in re.findall(r"^\| `client\.([a-z_.]+)", page, re.MULTILINE):
            target = client
            for part in dotted.split("."):
                target = getattr(target, part)


def test_every_error_of_the_table_exists(page):
    for name in re.findall(r"^\| `(\w+Error)`", page, re.MULTILINE):
        assert hasattr(errors, name)


def test_the_examples_for_one_request_run_against_a_server(page, server, capsys):
    first, traces, _ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    server.plans["to-latn"] = server.plans["to-latin"]
    for code in (first, traces.replace("Cyrl", "Latn")):
        exec(compile(code.replace("http://127.0.0.1:8000", server.url), "client.md", "exec"), {})  # noqa: S102 - our own page
    assert "(3, 3, 8)" in capsys.readouterr().out


def test_what_the_example_for_stats_imports_exists(page):
    *_, stats = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec("\n".join(re.findall(r"^(?:from|import) .*", stats, re.MULTILINE)), {})  # noqa: S102 - our own page
