"""What is a document of a corpus, what is skipped, and what is an error at once."""

import csv
import json
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.clients.profile.corpus import open_corpus
from polyglyph.clients.profile.document import Document, Place, Reason, Skip
from polyglyph.clients.profile.row import Row, document_of
from polyglyph.clients.profile.text_file import Split
from polyglyph.contract.errors import RequestError

CHAT = [{"role": "user", "content": "привет"}]


def read(path, **options):
    return [entry.found for entry in open_corpus(path, **options)]


def texts(path, **options):
    return [found.text for found in read(path, **options) if isinstance(found, Document)]


def skips(path, **options):
    return [(str(found.place), found.reason) for found in read(path, **options) if isinstance(found, Skip)]


def lines_file(folder, *lines, name="a.jsonl"):
    path = folder / name
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return path


def parquet_file(folder, columns, name="a.parquet"):
    path = folder / name
    pq.write_table(pa.table(columns), path)
    return path


def test_a_text_file_is_one_document(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n\ntwo\n")
    assert texts(path) == ["one\n\ntwo\n"]


def test_a_text_file_can_be_a_document_per_paragraph(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf\n\none\nmore\n \t\r\n\ntwo")
    found = read(path, split=Split.PARAGRAPHS)
    assert [(str(document.place), document.text) for document in found] == [
        ("a.txt:3", "one\nmore\n"),
        ("a.txt:7", "two"),
    ]


def test_a_paragraph_that_is_no_utf8_is_skipped_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n\n\xff\xfe\n\ntwo")
    assert texts(path, split=Split.PARAGRAPHS) == ["one\n", "two"]
    assert skips(path, split=Split.PARAGRAPHS) == [("a.txt:3", Reason.INVALID_UTF8)]
    assert skips(path) == [("a.txt", Reason.INVALID_UTF8)]


@pytest.mark.parametrize("content", [b"", b" \n\t\n", "\u3000\u2028".encode()])
def test_a_file_without_text_is_skipped_as_empty(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert skips(path) == [("a.txt", Reason.EMPTY)]


def test_bad_lines_are_skipped_with_their_number_and_reason(tmp_path):
    path = lines_file(
        tmp_path,
        {"text": "good", "tag": "a", "id": 7},
        b"{",
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        {"text": " "},
        {"text": 5},
        {"other": 1},
        [1],
        b"[" * 100_000,
        b"",
        {"text": "x", "tag": "no spaces"},
        {"text": "x", "tag": "line feed\n"},
        {"text": "x", "tag": 5},
        {"messages": "hi"},
        {"messages": []},
        {"messages": [{"content": "no role"}]},
        {"messages": ["hi"]},
        {"messages": [{"role": "user", "content": "\ud83d"}]},
        {"text": None, "messages": None},
        {"text": "last"},
    )
    assert texts(path) == ["good", "last"]
    assert skips(path) == [
        (f"a.jsonl:{line}", reason)
        for line, reason in [
            (2, Reason.BROKEN_ROW),
            (3, Reason.INVALID_UTF8),
            (4, Reason.LONE_SURROGATE),
            (5, Reason.EMPTY),
            (6, Reason.WRONG_TYPE),
            (7, Reason.NO_CONTENT),
            (8, Reason.BROKEN_ROW),
            (9, Reason.BROKEN_ROW),
            (11, Reason.WRONG_TAG),
            (12, Reason.WRONG_TAG),
            (13, Reason.WRONG_TYPE),
            (14, Reason.WRONG_TYPE),
            (15, Reason.EMPTY),
            (16, Reason.WRONG_TYPE),
            (17, Reason.WRONG_TYPE),
            (18, Reason.LONE_SURROGATE),
            (19, Reason.NO_CONTENT),
        ]
    ]


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b'{"text": "a"}', b"null", b'{"text": {}}', b"\n\n"])))
def test_no_bytes_break_the_reader_of_json_lines(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("corpus") / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    with suppress(RequestError):  # a file of objects without our columns
        assert all(isinstance(entry, Document | Skip) for entry in read(path))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
MESSAGE = st.dictionaries(st.sampled_from(["role", "content", "name"]), JSON)


@given(
    st.fixed_dictionaries({}, optional={"text": JSON, "messages": JSON | st.lists(MESSAGE), "tag": JSON, "id": JSON}),
)
def test_every_row_is_a_document_that_can_be_sent_or_is_skipped(fields):
    found = document_of(Row(Place("a", 1), fields, 0))
    if isinstance(found, Document):
        assert (found.text is None) != (found.messages is None)
        json.dumps([found.text, found.messages], ensure_ascii=False, allow_nan=False).encode()
        assert len(found.key) == 32
    else:
        assert found.reason


def test_a_row_with_messages_is_a_chat(tmp_path):
    (found,) = read(lines_file(tmp_path, {"messages": CHAT, "tag": "x"}))
    assert (found.messages, found.text, found.tag) == (tuple(CHAT), None, "x")


def test_a_rows_own_tag_goes_before_the_default_one(tmp_path):
    path = lines_file(tmp_path, {"text": "a", "tag": "own"}, {"text": "b"}, {"text": "c", "tag": ""})
    assert [found.tag for found in read(path, tag="default")] == ["own", "default", ""]


def test_equal_content_has_equal_keys_wherever_it_stands(tmp_path):
    path = lines_file(
        tmp_path, {"text": "a", "id": 1}, {"id": 2, "text": "a"}, {"text": "a", "tag": "t"}, {"text": "b"}
    )
    keys = [found.key for found in read(path)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_parquet_gives_texts_tags_and_chats(tmp_path):
    texts_file = parquet_file(tmp_path, {"text": ["a", None, ""], "tag": ["x", "y", None], "other": [1, 2, 3]})
    assert texts(texts_file) == ["a"]
    assert skips(texts_file) == [("a.parquet:2", Reason.NO_CONTENT), ("a.parquet:3", Reason.EMPTY)]
    (found,) = read(parquet_file(tmp_path, {"messages": [CHAT]}, name="b.parquet"))
    assert found.messages == tuple(CHAT)


def test_a_parquet_column_of_another_type_is_skipped_row_by_row(tmp_path):
    path = parquet_file(tmp_path, {"text": [b"a", b"b"]})
    assert skips(path) == [("a.parquet:1", Reason.WRONG_TYPE), ("a.parquet:2", Reason.WRONG_TYPE)]


def test_parquet_text_that_is_no_utf8_is_skipped_alone(tmp_path):
    broken = pa.array([b"good", b"\xff\xfe", b"fine"]).view(pa.string())
    path = parquet_file(tmp_path, {"text": broken})
    assert texts(path) == ["good", "fine"]
    assert skips(path) == [("a.parquet:2", Reason.INVALID_UTF8)]


def test_a_broken_parquet_file_is_skipped_and_the_rest_is_read(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    lines_file(tmp_path, {"text": "good"}, name="b.jsonl")
    assert texts(tmp_path) == ["good"]
    assert skips(tmp_path) == [("a.parquet", Reason.BROKEN_FILE)]


def test_a_parquet_file_that_breaks_off_gives_what_comes_before(tmp_path):
    path = tmp_path / "a.parquet"
    rows = {"text": [f"{number} " + "word " * 50 for number in range(1000)]}
    pq.write_table(pa.table(rows), path, row_group_size=100, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40_000] = b"\xff" * 40_000
    path.write_bytes(bytes(data))
    found = read(path)
    assert isinstance(found[0], Document)
    assert any(isinstance(entry, Skip) for entry in found)


def test_csv_gives_texts_and_an_empty_tag_is_none(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(
            [["id", "text", "tag"], ["1", "two\nlines", "x"], ["2", "long " * 50_000, ""], ["3"], ["4", " ", ""]]
        )
    found = [entry for entry in read(path, tag="d") if isinstance(entry, Document)]
    assert [(document.id, document.tag) for document in found] == [("1", "x"), ("2", "d")]
    assert skips(path) == [("a.csv:5", Reason.BROKEN_ROW), ("a.csv:6", Reason.EMPTY)]


def test_a_csv_row_that_is_no_utf8_is_skipped_alone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text\ngood\n\xff\nfine\n")
    assert texts(path) == ["good", "fine"]
    assert skips(path) == [("a.csv:3", Reason.INVALID_UTF8)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"body": "a"}\n{"body": "b"}'),
        ("a.csv", b"body,tag\na,b\n"),
        ("a.csv", b""),
    ],
)
def test_a_file_without_our_columns_is_an_error_that_names_file_and_columns(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=r"a\.(jsonl|csv).*'text' or 'messages', got (body|none)"):
        open_corpus(tmp_path)


def test_a_parquet_file_without_our_columns_is_an_error(tmp_path):
    with pytest.raises(RequestError, match="got body"):
        open_corpus(parquet_file(tmp_path, {"body": ["a"]}))


def test_a_column_may_appear_first_in_a_later_row(tmp_path):
    assert texts(lines_file(tmp_path, {"meta": 1}, b"{", {"text": "a"})) == ["a"]


def test_a_file_of_broken_lines_only_is_skipped_line_by_line(tmp_path):
    assert len(skips(lines_file(tmp_path, b"{", b"}"))) == 2


@pytest.mark.parametrize("name", ["nothing", "empty", "a.md"])
def test_a_corpus_without_a_file_to_read_is_an_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.md").write_text("words")
    with pytest.raises(RequestError, match=name):
        open_corpus(tmp_path / name)


def test_a_folder_is_read_in_the_order_of_its_paths_without_hidden_and_unknown_files(tmp_path):
    for name in ("b/c.txt", "a.txt", "b/a.TXT", ".hidden/a.txt", "b/.a.txt", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    corpus = open_corpus(tmp_path)
    assert [entry.found.place.file for entry in corpus] == ["a.txt", "b/a.TXT", "b/c.txt"]
    assert corpus.num_ignored == 1


def test_how_far_the_corpus_is_read_grows_to_its_size(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    lines_file(tmp_path, {"text": "a"}, {"text": "b"}, name="b.jsonl")
    parquet_file(tmp_path, {"text": ["a", "b"]}, name="c.parquet")
    (tmp_path / "d.csv").write_text("text\na\nb\n")
    corpus = open_corpus(tmp_path)
    ends = [entry.end for entry in corpus]
    assert ends == sorted(ends)
    assert ends[-1] == corpus.num_bytes


def test_a_corpus_is_read_lazily(tmp_path):
    path = lines_file(tmp_path, *({"text": "word " * 200} for _ in range(2000)))
    entries = iter(open_corpus(path))
    assert next(entries).end < 2000
