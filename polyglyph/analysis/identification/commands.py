"""The command `polyglyph identify`: one subcommand per method of methods section 3, each from a module of its own."""

import typer

from polyglyph.analysis.identification.cli.ask import ask
from polyglyph.analysis.identification.cli.clusters import clusters
from polyglyph.analysis.identification.cli.contrast import contrast
from polyglyph.analysis.identification.cli.core_experts import core_experts
from polyglyph.analysis.identification.cli.finishing import finished
from polyglyph.analysis.identification.cli.library import library
from polyglyph.analysis.identification.cli.npmi import npmi
from polyglyph.analysis.identification.cli.outcomes import inconsistency, shared_knowledge
from polyglyph.analysis.identification.cli.random_control import random_control
from polyglyph.analysis.identification.cli.rewire import rewire
from polyglyph.analysis.identification.cli.risk_difference import risk_difference
from polyglyph.analysis.identification.cli.router_lens import router_lens
from polyglyph.analysis.identification.cli.super_experts import super_experts
from polyglyph.analysis.identification.cli.task_experts import task_experts
from polyglyph.analysis.identification.cli.tcess import tcess
from polyglyph.analysis.identification.cli.transliteration import transliteration

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find the experts of a behaviour, and write a plan, an expert set or a table.",
)
app.command("ask")(ask)
app.command("clusters")(finished(clusters))
app.command("contrast")(finished(contrast))
app.command("core-experts")(finished(core_experts))
app.command("inconsistency")(finished(inconsistency))
app.command("library")(library)
app.command("npmi")(finished(npmi))
app.command("random")(finished(random_control, has_controls=False))
app.command("rewire")(finished(rewire))
app.command("risk-difference")(finished(risk_difference))
app.command("router-lens")(finished(router_lens))
app.command("shared-knowledge")(finished(shared_knowledge))
app.command("super-experts")(finished(super_experts, has_controls=False))
app.command("task-experts")(finished(task_experts))
app.command("tcess")(finished(tcess))
app.command("transliteration")(finished(transliteration))


@app.callback()
def root() -> None:
    """Find the experts of a behaviour, and write a plan, an expert set or a table."""
