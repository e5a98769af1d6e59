"""The page of a report in a real browser: it opens in silence, answers pointer and keys, and saves its tables."""

import csv
import io

import pytest

from polyglyph.analysis.evidence.stats_counts import read_counts_of_stats
from polyglyph.analysis.report import analyse
from tests.analysis.report_world import TOKENS, labelled_run, sums, tokenizer_file
from tests.analysis.test_analyze_document import TWO
from tests.support.browser import MISSING, find_browser, opened_browser
from tests.support.many_experts import SCRIPTS, many_experts

pytestmark = pytest.mark.skipif(find_browser() is None, reason=MISSING)
PIXELS = """(id) => {
  const canvas = document.getElementById(id);
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.join();
}"""
SHOWN = """(index) => {
  const token = tokenText(doc.page.tokens[index]);
  document.body.append(token);
  return [token.tagName, token.dir, getComputedStyle(token).direction, token.textContent];
}"""
UNNAMED = """[...document.querySelectorAll("select, input, button, canvas, svg[role=img]")]
  .filter((element) => !element.closest("label") && !element.ariaHidden && !element.ariaLabel)
  .filter((element) => !element.textContent.trim())
  .map((element) => element.outerHTML)"""


@pytest.fixture(scope="module")
def tab():
    with opened_browser(find_browser()) as page:
        yield page


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    counts = read_counts_of_stats(many_experts(tokens=10**6))
    return analyse(counts).write(tmp_path_factory.mktemp("big") / "report.html")


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traced")
    run = labelled_run(folder / "run", items=20)
    tokenizer = tokenizer_file(folder / "tokenizer.json")
    return analyse(run, tokenizer=tokenizer).write(folder / "report.html")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_opens_without_a_complaint_and_asks_for_nothing_but_itself(tab, big, traced, theme, width):
    for file in (big, traced):
        tab.open(file, theme=theme, width=width)
        tab.run("new Promise(requestAnimationFrame)")
        assert tab.complaints() == []
        assert tab.requests() == [file.as_uri()]


def test_a_page_of_one_script_opens_and_says_what_it_cannot_show(tab, tmp_path):
    file = analyse(sums({"Latn": TWO["Latn"]})).write(tmp_path / "report.html")
    tab.open(file)
    assert tab.complaints() == []
    assert tab.run("document.querySelectorAll('.missing').length") >= 8


def test_a_large_model_is_drawn_on_canvases_and_not_on_thousands_of_elements(tab, big):
    tab.open(big)
    assert tab.run("document.getElementsByTagName('*').length") < 5000
    assert tab.run("performance.now()") < 20_000


@pytest.mark.parametrize("file", ["big", "traced"])
def test_nothing_is_wider_than_a_phone(tab, request, file):
    tab.open(request.getfixturevalue(file), width=360, height=740)
    tab.run("new Promise((done) => setTimeout(done, 100))")
    assert tab.run("document.documentElement.scrollWidth") <= 360


def test_the_theme_follows_the_system_until_it_is_chosen(tab, big):
    background = "getComputedStyle(document.body).backgroundColor"
    tab.open(big, theme="dark")
    assert tab.run(background) == "rgb(20, 20, 26)"
    dark = tab.run(f"({PIXELS})('lift-map')")
    tab.run("document.getElementById('theme').value = 'light'")
    tab.run("document.getElementById('theme').dispatchEvent(new Event('change'))")
    assert tab.run(background) == "rgb(255, 255, 255)"
    assert tab.run(f"({PIXELS})('lift-map')") != dark
    tab.run("localStorage.clear()")


def test_another_group_is_another_map(tab, big):
    tab.open(big)
    tab.run("new Promise(requestAnimationFrame)")
    before = tab.run(f"({PIXELS})('lift-map')")
    tab.run("document.getElementById('group').selectedIndex = 3")
    tab.run("document.getElementById('group').dispatchEvent(new Event('change'))")
    assert tab.run(f"({PIXELS})('lift-map')") != before


def test_a_click_on_the_map_shows_that_expert(tab, big):
    tab.open(big, height=4000)
    box = tab.run(
        "(() => { const b = document.getElementById('lift-map').getBoundingClientRect(); return [b.x, b.y] })()"
    )
    tab.click_at(box[0] + 34 + 8 * 5 + 3, box[1] + 11 * 2 + 3)
    assert tab.run("document.querySelector('#expert-body h3').textContent") == "Layer 2, expert 5"
    assert tab.run("document.getElementById('layer').value") == "2"


def test_the_map_is_walked_with_arrow_keys_and_enter_shows_the_expert(tab, traced):
    tab.open(traced)
    tab.run("choose({ layer: 0, expert: 0 })")
    tab.run("document.getElementById('lift-map').focus()")
    for key in ("ArrowRight", "ArrowDown", "ArrowRight"):
        tab.press(key)
    status = tab.run("document.querySelector('#map .status').textContent")
    assert status.startswith("layer 1, expert 2: lift ")
    tab.press("Enter")
    assert tab.run("document.querySelector('#expert-body h3').textContent") == "Layer 1, expert 2"


def test_a_number_out_of_range_is_brought_back_to_the_last_expert(tab, traced):
    tab.open(traced)
    tab.run("document.getElementById('expert-number').value = '999'")
    tab.run("document.getElementById('expert-number').dispatchEvent(new Event('change'))")
    assert tab.run("document.querySelector('#expert-body h3').textContent").endswith("expert 7")


def test_an_expert_can_be_named_in_the_address(tab, traced):
    tab.open(traced, query="#L2E3")
    assert tab.run("document.querySelector('#expert-body h3').textContent") == "Layer 2, expert 3"


def test_the_page_of_an_expert_has_its_tokens_partners_and_intervals(tab, traced):
    tab.open(traced, query="#L0E0")
    body = tab.run("document.getElementById('expert-body').textContent")
    assert "Cannot be computed" not in body
    assert "Tokens that go here" in body
    assert tab.run("document.querySelectorAll('#expert-body .token').length") > 2
    assert tab.run("document.querySelectorAll('#expert-body svg.range').length") == 4


def test_tokens_stand_in_their_own_direction_and_pieces_of_characters_are_bytes(tab, traced):
    tab.open(traced)
    assert tab.run(f"({SHOWN})(2)") == ["BDI", "auto", "rtl", "سلام"]
    assert tab.run(f"({SHOWN})(0)") == ["BDI", "auto", "ltr", "漢字"]
    assert tab.run(f"({SHOWN})(4)")[3] == "\u25ccि"
    assert tab.run(f"({SHOWN})(5)")[3] == "\u2423de"
    assert tab.run(f"({SHOWN})(1)")[3] == "E0 A4"


@pytest.mark.parametrize("text", [text for text in TOKENS if isinstance(text, str)])
def test_no_token_is_drawn_as_boxes_where_fonts_are_installed(tab, traced, text):
    tab.open(traced)
    # What no font has is drawn as the box of an unassigned character.
    drawn = """(text) => [...text].map((character) => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [64, 64];
      const pen = canvas.getContext("2d");
      pen.font = `32px ${getComputedStyle(document.documentElement).getPropertyValue("--token-fonts")}`;
      pen.fillText(character, 16, 40);
      return pen.getImageData(0, 0, 64, 64).data.join();
    })"""
    (box,) = tab.run(f"({drawn})('\\u0378')")
    if box in tab.run(f"({drawn})('漢ह')"):
        pytest.skip("no fonts for Han or Devanagari here: apt-get install fonts-noto-core fonts-noto-cjk")
    assert box not in tab.run(f"({drawn})({text!r})")


def test_every_control_has_a_name(tab, traced):
    tab.open(traced)
    assert tab.run(UNNAMED) == []


def test_the_mask_of_significance_is_drawn_as_strokes(tab, big):
    tab.open(big)
    tab.run("new Promise(requestAnimationFrame)")
    before = tab.run(f"({PIXELS})('difference-map')")
    tab.run("document.getElementById('floor').selectedIndex = 4")
    tab.run("document.getElementById('floor').dispatchEvent(new Event('change'))")
    tab.run("new Promise((done) => setTimeout(done, 100))")
    assert tab.run(f"({PIXELS})('difference-map')") != before
    assert "or smaller" in tab.run("document.querySelector('#differences .legend').textContent")


def test_tables_are_saved_as_csv_with_the_documents_numbers(tab, big):
    tab.open(big)
    for name in ("groups.csv", "experts.csv", "signatures.csv", "differences.csv", "layers.csv", "clusters.csv"):
        tab.run(f"document.querySelector('[data-table=\"{name}\"]').click()")
    document = analyse(read_counts_of_stats(many_experts(tokens=10**6))).document
    rows = {name: read(tab.saved(f"{name}.csv")) for name in ("groups", "experts", "signatures", "differences")}
    assert [row["group"] for row in rows["groups"]] == list(SCRIPTS)
    assert len(rows["experts"]) == 8 * 48 * 128
    first = rows["experts"][130]
    assert (first["group"], first["layer"], first["expert"]) == ("Arab", "1", "2")
    assert float(first["frequency"]) == pytest.approx(document["frequencies"]["Arab"][1][2], rel=1e-5)
    assert len(rows["signatures"]) == 254
    counts = {row["groups"]: [int(row[band]) for band in ("early", "middle", "late")] for row in rows["signatures"]}
    assert counts == {key: list(bands.values()) for key, bands in document["signatures"].items()}
    top = document["differences"]["Arab,Cyrl"]["top"][0]
    row = rows["differences"][top["layer"] * 128 + top["expert"]]
    assert float(row["difference"]) == pytest.approx(top["difference"], rel=1e-4)
    assert tab.saved("layers.csv").stat().st_size > 1000
    assert tab.saved("clusters.csv").stat().st_size > 1000


def read(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
