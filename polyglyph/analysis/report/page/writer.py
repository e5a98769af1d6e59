"""Writer: fills the page's template with its style, its script, the document and the arrays."""

import base64
import json
from hashlib import sha256
from importlib.resources import files
from typing import Any

import numpy as np

from polyglyph.analysis.quantities.clusters import order_of_groups
from polyglyph.analysis.report.document import Document, set_name
from polyglyph.analysis.report.findings import Findings
from polyglyph.analysis.report.page.arrays import arrays_of
from polyglyph.analysis.report.token_document import token_texts
from polyglyph.analysis.statistics.figure import Missing

SCRIPTS = (
    "data", "dom", "theme", "colours", "heatmap", "curves", "csv",
    "panels/groups", "panels/layers", "panels/lift", "panels/differences", "panels/expert", "panels/signatures",
    "panels/clusters", "panels/traces", "panels/downloads", "start",
)  # fmt: skip
"""The parts of the page's script, in the order in which they need each other."""
IN_ARRAYS = ("frequencies", "entropy_over_groups")
TOKENS_IN_ARRAYS = ("top_tokens", "co_activation")
"""Parts of the document that the page has as arrays."""


def page_of(findings: Findings, document: Document) -> str:
    """Give the whole page.

    Args:
        findings: What is shown.
        document: Their numbers.
    """
    from jinja2 import Environment, StrictUndefined

    # Script and style are ours and stand in elements whose content is raw text, where escapes mean nothing; what came
    # from outside is in the JSON, which is escaped by `_json`, and in the texts, which the template escapes.
    environment = Environment(undefined=StrictUndefined, autoescape=True)
    template = environment.from_string(_read("template.html.jinja"))
    style, script = _read("style.css"), script_of_page()
    return template.render(
        title=_title(document),
        subtitle=_subtitle(document),
        footer=_footer(document),
        style=_Raw(style),
        style_digest=_digest(style),
        script=_Raw(script),
        script_digest=_digest(script),
        document=_Raw(_json(_document_of_page(findings, document))),
        arrays=list(arrays_of(findings)),
    )


def script_of_page() -> str:
    """Give the page's script, all parts in one."""
    return '"use strict";\n' + "\n".join(_read(f"scripts/{name}.js") for name in SCRIPTS)


class _Raw(str):
    """Text that stands in the page as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def _document_of_page(findings: Findings, document: Document) -> Document:
    slim = {name: value for name, value in document.items() if name not in IN_ARRAYS}
    slim["lift"] = {name: value for name, value in document["lift"].items() if name != "groups"}
    slim["traces"] = {
        name: value if name not in TOKENS_IN_ARRAYS or "cannot_be_computed" in value else {}
        for name, value in document["traces"].items()
    }
    order = order_of_groups(findings.curves.js_GG)
    return slim | {
        "page": {
            "group_order": list(order),
            "signature_experts": _signature_experts(findings),
            "tokens": token_texts(findings.tokens),
        }
    }


def _signature_experts(findings: Findings) -> dict[str, list[int]]:
    """Give the flat places of each set's experts, for sets that have any."""
    found = findings.marks.signatures
    if isinstance(found, Missing):
        return {}
    names = findings.source.groups.names
    members_SC = found.members.reshape(len(found.sets), -1)
    return {
        set_name(names, groups): np.flatnonzero(members_C).tolist()
        for groups, members_C in zip(found.sets, members_SC, strict=True)
        if members_C.any()
    }


def _title(document: Document) -> str:
    model = document["model"]
    return f"Routing of {model['architecture'] or 'the model ' + model['fingerprint'][:19]}"


def _subtitle(document: Document) -> str:
    model, evidence = document["model"], document["evidence"]
    return (
        f"{evidence['tokens']:,} tokens of {', '.join(evidence['files']) or 'evidence in memory'}; {model['layers']} "
        f"MoE layers of {model['experts']} experts, {model['top_k']} per token; {len(document['groups'])} groups by "
        f"{', '.join(document['by'])}"
    )


def _footer(document: Document) -> str:
    model, evidence = document["model"], document["evidence"]
    return f"{document['tool']}; model {model['fingerprint']}; evidence {evidence['digest']}"


def _json(value: Any) -> str:
    # "<" must not stand in a script element: "</script>" would end it.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
