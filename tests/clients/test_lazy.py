"""The command line answers without an engine installed, and says what to install where one is needed."""

import subprocess
import sys
import textwrap
from importlib.metadata import entry_points

import pytest

from polyglyph.clients.exit_codes import ExitCode

BLOCKER = """
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {blocked}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

    sys.meta_path.insert(0, Blocker())
"""
HEAVY = ("torch", "vllm", "transformers", "triton", "icu", "starlette", "fastapi", "pydantic_settings")
COMMANDS = (
    [],
    ["chat"],
    ["plans"],
    *(["plans", verb] for verb in ("list", "show", "push", "pull", "delete", "validate")),
    ["stats"],
    *(["stats", verb] for verb in ("show", "pull", "merge", "import", "reset")),
    ["policy"],
    ["policy", "show"],
    ["policy", "push"],
    ["verify"],
    ["profile"],
)


def run_without(blocked, code, *arguments):
    script = textwrap.dedent(BLOCKER.format(blocked=blocked)) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


MAIN = """
    from polyglyph.clients.commands import main
    main()
"""
HELPS = """
    import typer.testing
    from polyglyph.clients.commands import app
    for words in {commands}:
        outcome = typer.testing.CliRunner().invoke(app, [*words, "--help"])
        assert outcome.exit_code == 0, (words, outcome.output)
    print("all answered")
"""


def test_every_command_explains_itself_without_an_engine_installed():
    outcome = run_without(HEAVY, HELPS.format(commands=COMMANDS))
    assert outcome.stdout == "all answered\n", outcome.stderr


def test_the_list_of_commands_names_the_other_parts_without_importing_them():
    outcome = run_without(HEAVY, MAIN, "--help")
    assert outcome.returncode == 0, outcome.stderr
    for name in ("serve", "organism", "chat", "plans", "stats", "policy", "verify"):
        assert name in outcome.stdout
    code = """
        import sys, typer.testing
        from polyglyph.clients.commands import app
        typer.testing.CliRunner().invoke(app, ["--help"])
        print([name for name in sys.modules if name.startswith(("polyglyph.server", "polyglyph.analysis"))])
    """
    assert run_without((), code).stdout == "[]\n"


@pytest.mark.parametrize("command", ["serve", "organism"])
def test_a_command_without_its_dependencies_says_which_extra_to_install(command):
    arguments = {"serve": ["serve", "/nowhere"], "organism": ["organism", "world"]}[command]
    outcome = run_without((*HEAVY, "tokenizers", "numpy"), MAIN, *arguments)
    assert outcome.returncode in {ExitCode.NOT_INSTALLED, 1}, outcome.stderr
    assert "polyglyph[cpu" in " ".join(outcome.stderr.split())
    assert "Traceback" not in outcome.stderr


def test_importing_the_clients_imports_nothing_heavy():
    code = """
        import sys
        import polyglyph.clients, polyglyph.clients.commands
        heavy = {"torch", "vllm", "transformers", "numpy", "openai", "scipy", "pandas", "pyarrow", "triton"}
        print(sorted(heavy & set(sys.modules)))
    """
    assert run_without((), code).stdout == "[]\n"


def test_the_other_parts_commands_are_the_entry_points_of_the_package():
    assert {"serve", "organism"} <= set(entry_points(group="polyglyph.commands").names)


def test_a_module_of_the_command_line_runs_as_a_program():
    outcome = subprocess.run(
        [sys.executable, "-m", "polyglyph.clients", "--version"], capture_output=True, text=True, check=False
    )
    assert outcome.stdout.startswith("polyglyph ")
