"""docs/http.md and the server say the same."""

import re

import typer
from fastapi import FastAPI

from polyglyph.contract import errors
from polyglyph.server.commands import app as serve
from polyglyph.server.dialects import DIALECTS, UNSTEERED_PATHS
from polyglyph.server.settings import PREFIX, Settings
from tests.house.documents import page

PAGE = page("docs/http.md")
KNOWN_ELSEWHERE = {"POLYGLYPH_ALLOW_UNTESTED_VLLM", "POLYGLYPH_DISABLE"}


def test_every_route_of_ours_is_in_the_page_and_the_other_way_round(app: FastAPI):
    documented = set(re.findall(r"^\| `([A-Z]+ /v1/[^`]*)`", PAGE, re.MULTILINE))
    paths = {path: methods for path, methods in app.openapi()["paths"].items() if path.startswith(("/v1/st", "/v1/ro"))}
    assert documented == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_every_generating_route_is_named():
    assert all(f"`{path}`" in PAGE or f"POST {path}`" in PAGE for path in (*DIALECTS, *UNSTEERED_PATHS))


def test_every_error_is_in_the_table_with_its_status():
    def kinds(root: type[errors.RequestError]) -> list[type[errors.RequestError]]:
        return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]

    # Those of clients and analysis never travel: they are what a command refuses.
    travel = [
        kind for kind in kinds(errors.RequestError) if not {"clients", "analysis"} & {*kind.__module__.split(".")}
    ]
    ours = {(str(kind.status), kind.code) for kind in travel}
    assert set(re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)) == ours


def test_every_setting_is_in_the_table_with_its_flag():
    rows = dict(re.findall(r"^\| `(--[\w-]+)` \| `(POLYGLYPH_\w+)", PAGE, re.MULTILINE))
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(rows.values()) == settings - KNOWN_ELSEWHERE
    options = {option for parameter in typer.main.get_command(serve).params for option in all_options(parameter)}
    assert set(rows) <= options


def all_options(parameter: object) -> list[str]:
    return [*getattr(parameter, "opts", []), *getattr(parameter, "secondary_opts", [])]
