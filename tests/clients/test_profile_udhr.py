"""The corpus of 40 scripts is what its page says, and every line of it is a document."""

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from polyglyph.clients.profile.corpus import open_corpus
from polyglyph.clients.profile.document import Document

FOLDER = Path(__file__).parents[2] / "examples" / "udhr"
ONE_ARTICLE = {"Mong", "Tglg"}


@pytest.fixture(scope="module")
def rows():
    return [json.loads(line) for line in (FOLDER / "udhr.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def make():
    pytest.importorskip("icu")
    spec = importlib.util.spec_from_file_location("make_udhr", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_40_scripts_and_38_of_them_have_the_same_15_articles(rows):
    articles = {}
    for row in rows:
        articles.setdefault(row["script"], []).append(row["article"])
    assert len(articles) == 40
    for script, numbers in articles.items():
        assert numbers == ([1] if script in ONE_ARTICLE else list(range(1, 16)))


def test_every_line_is_a_document_under_its_scripts_tag(rows):
    found = [entry.found for entry in open_corpus(FOLDER)]
    assert all(isinstance(document, Document) for document in found)
    assert [document.tag for document in found] == [row["script"].lower() for row in rows]
    assert len({document.id for document in found}) == len({document.key for document in found}) == len(rows) == 572


def test_each_translation_is_mostly_in_its_script(rows, make):
    texts = {}
    for row in rows:
        texts[row["script"]] = texts.get(row["script"], "") + row["text"]
    for script, text in texts.items():
        counts = make.count_scripts(text)
        assert counts.most_common(1)[0][0] == script
        assert counts[script] > (0.5 if script == "Hira" else 0.95) * counts.total()


def test_the_page_lists_every_translation_with_its_size(rows):
    page = (FOLDER / "README.md").read_text(encoding="utf-8").partition("<!-- translations -->")[2]
    listed = re.findall(r"^\| (\w{4}) \| [^|]+ \| (\w+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    sizes, counts, codes = Counter(), Counter(), {}
    for row in rows:
        sizes[row["script"]] += len(row["text"])
        counts[row["script"]] += 1
        codes[row["script"]] = row["id"].rpartition("-")[0]
    assert [(script, codes[script], str(counts[script]), str(sizes[script])) for script in sorted(codes)] == listed


def test_a_declaration_is_read_without_headings_and_html(make):
    html = """<html lang="ru"><head><title>Russian</title></head><body><header><p>Преамбула</p></header>
    <article data-number="1"><h2>Статья 1</h2><p>Все  люди
    рождаются</p></article><article data-number="2"><ol><li><p>раз &amp; два</p></li><li><p>три</p></li></ol></article>
    <article data-number="3"><h2>Статья 3</h2></article></body></html>"""
    found = make.read_translation("rus", html)
    assert (found.language, found.name, found.script) == ("ru", "Russian", "Cyrl")
    assert found.articles == {1: "Все люди\nрождаются", 2: "раз & два\nтри"}
    assert found.is_likely
