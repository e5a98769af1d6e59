"""The state file of a run: what is in it after any kind of end, and whose it is."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.clients.errors import UnwritableFileError
from polyglyph.clients.profile.state import State, default_state_path, open_state
from polyglyph.contract.errors import RequestError

SETTINGS = {"corpus": "/corpus", "tag": "a", "steering": None}
FULL = Path("/dev/full")
KEYS = st.sampled_from(["k1", "k2", "k3"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "run.jsonl"


def earlier(path, settings=SETTINGS):
    with open_state(path, settings, resumes=True) as state:
        return state.earlier


def test_what_was_finished_is_found_again_as_often_as_it_was(path):
    with open_state(path, SETTINGS, resumes=False) as state:
        for key in ("k1", "k2", "k1", "k3", "k4"):
            state.begin(key)
        state.finish("k1", prompt_tokens=10)
        state.finish("k1", prompt_tokens=10)
        state.finish("k2", prompt_tokens=5)
        state.refuse("k3")
    found = earlier(path)
    assert found.finished == Counter({"k1": 2, "k2": 1})
    assert (found.prompt_tokens, found.num_open, found.has_ended) == (25, 1, False)


@given(begun=st.lists(KEYS), num_done=st.integers(0, 9), torn=st.integers(0, 40))
def test_a_line_that_is_half_written_is_dropped_and_all_others_stay(tmp_path_factory, begun, num_done, torn):
    path = tmp_path_factory.mktemp("state") / "run.jsonl"
    with open_state(path, SETTINGS, resumes=False) as state:
        for key in begun:
            state.begin(key)
        for key in begun[:num_done]:
            state.finish(key, prompt_tokens=1)
    data = path.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    whole = min(last + torn, len(data))
    path.write_bytes(data[:whole] if last else data)
    first, second = earlier(path), earlier(path)
    assert first == second
    assert first.finished <= Counter(begun[:num_done])
    assert sum(first.finished.values()) >= len(begun[:num_done]) - 1


def test_a_run_that_goes_on_adds_to_the_file(path):
    for key in ("k1", "k2"):
        with open_state(path, SETTINGS, resumes=True) as state:
            state.begin(key)
            state.finish(key, prompt_tokens=1)
    assert earlier(path).finished == Counter({"k1": 1, "k2": 1})


def test_a_new_run_begins_anew_and_keeps_an_unfinished_one_beside_it(path):
    with open_state(path, SETTINGS, resumes=False) as state:
        state.begin("k1")
    with open_state(path, SETTINGS, resumes=False) as state:
        assert (state.earlier.num_open, state.set_aside.num_open) == (0, 1)
        state.end()
    assert earlier(path).num_open == 0
    assert earlier(path.with_name("run.jsonl.previous")).num_open == 1
    with open_state(path, SETTINGS, resumes=False):
        pass
    assert earlier(path.with_name("run.jsonl.previous")).num_open == 1


def test_another_runs_state_is_refused_with_both_values(path):
    with open_state(path, SETTINGS, resumes=False):
        pass
    with pytest.raises(RequestError, match='tag "a", this one has "b"'):
        open_state(path, SETTINGS | {"tag": "b"}, resumes=True)
    assert earlier(path).num_open == 0


@pytest.mark.parametrize("content", [b"some text", b"some text\n", b'{"text": "a corpus"}\n', b"[1]\n"])
@pytest.mark.parametrize("resumes", [False, True])
def test_a_file_that_is_no_state_is_refused_and_left_as_it_is(tmp_path, content, resumes):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"mine\.jsonl"):
        open_state(path, SETTINGS, resumes=resumes)
    assert path.read_bytes() == content


def test_a_damaged_line_in_the_middle_is_refused_with_its_number(path):
    with open_state(path, SETTINGS, resumes=False) as state:
        state.begin("k1")
    path.write_bytes(path.read_bytes() + b"\0\0\0\n" + b'{"begun": "k2"}\n')
    with pytest.raises(RequestError, match="line 3 is damaged"):
        open_state(path, SETTINGS, resumes=True)


def test_two_runs_cannot_write_one_state(path):
    with open_state(path, SETTINGS, resumes=False), pytest.raises(RequestError, match="another run"):
        open_state(path, SETTINGS, resumes=True)


def test_a_state_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableFileError, match="cannot be written"):
        open_state(tmp_path / "file" / "run.jsonl", SETTINGS, resumes=False)


@pytest.mark.skipif(not FULL.exists(), reason="the device that is always full is Linux's")
def test_a_full_disk_is_said_and_not_passed_over():
    state = State(FULL, os.open(FULL, os.O_WRONLY))
    with pytest.raises(UnwritableFileError, match="No space left"):
        state.begin("k1")


def test_a_process_that_is_killed_loses_no_line(path):
    code = f"""
import os, signal
from pathlib import Path
from polyglyph.clients.profile.state import open_state
state = open_state(Path({str(path)!r}), {SETTINGS!r}, resumes=False)
state.begin("k1")
state.finish("k1", prompt_tokens=3)
state.begin("k2")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    found = earlier(path)
    assert (found.finished, found.num_open) == (Counter({"k1": 1}), 1)


def test_each_runs_default_file_is_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    paths = {default_state_path(SETTINGS), default_state_path(SETTINGS | {"tag": "b"})}
    assert len(paths) == 2
    assert all(path.is_relative_to(tmp_path) for path in paths)
