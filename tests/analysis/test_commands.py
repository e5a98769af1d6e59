import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from polyglyph.analysis.organism.checkpoint import FILE_NAME
from polyglyph.analysis.organism.commands import app
from polyglyph.analysis.organism.curriculum import WorldCurriculum
from polyglyph.analysis.organism.display import TrainingDisplay
from polyglyph.analysis.organism.run import Run
from polyglyph.analysis.organism.training import train
from polyglyph.analysis.organism.world import make_world


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_world_is_printed_as_json_and_nothing_else():
    result = invoke("world", "--seed", "7", "--json")
    assert json.loads(result.stdout) == make_world(7).to_json()
    assert result.stderr == ""


def test_the_world_is_summed_up_in_every_script():
    lines = invoke("world").stdout.splitlines()
    assert len([line for line in lines if " -> " in line]) == 1 + 16


def test_the_world_is_written_to_a_new_file_only(tmp_path: Path):
    file = tmp_path / "world.json"
    assert invoke("world", "--output", file).exit_code == 0
    assert json.loads(file.read_text())["seed"] == 0
    again = invoke("world", "--output", file, "--seed", "1")
    assert again.exit_code == 1
    assert "File exists" in again.stderr
    assert json.loads(file.read_text())["seed"] == 0


@pytest.mark.parametrize("seed", ["-1", str(2**32), "x"])
def test_a_bad_seed_is_wrong_usage(seed: str):
    result = invoke("world", "--seed", seed)
    assert result.exit_code == 2
    assert "--seed" in result.stderr


def test_training_into_a_directory_with_files_is_refused(tmp_path: Path):
    (tmp_path / "notes.txt").touch()
    result = invoke("train", "--output", tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is not empty" in result.stderr


def test_training_into_a_file_is_refused(tmp_path: Path):
    file = tmp_path / "notes.txt"
    file.touch()
    result = invoke("train", "--output", file)
    assert result.exit_code == 1
    assert "is a file" in result.stderr


def test_a_stopped_training_is_not_overwritten_without_resume(tmp_path: Path):
    (tmp_path / FILE_NAME).touch()
    result = invoke("train", "--output", tmp_path)
    assert result.exit_code == 1
    assert "--resume" in result.stderr


def test_resuming_nothing_is_refused(tmp_path: Path):
    result = invoke("train", "--output", tmp_path, "--resume")
    assert result.exit_code == 1
    assert "no checkpoint" in result.stderr


def test_resuming_with_other_numbers_is_refused_in_words(tmp_path: Path):
    run = Run(seed=0, num_steps=2, num_lessons=2)
    with TrainingDisplay(num_steps=2) as display:
        train(run, WorldCurriculum(make_world(run.seed)), directory=tmp_path, report=display, stop_at=1)
    result = invoke("train", "--output", tmp_path, "--resume", "--steps", "3", "--lessons", "2")
    assert result.exit_code == 1
    assert "2 steps" in result.stderr
    assert "3 steps" in result.stderr


def test_a_damaged_checkpoint_is_refused_in_words(tmp_path: Path):
    (tmp_path / FILE_NAME).write_bytes(b"no tensors")
    result = invoke("train", "--output", tmp_path, "--resume", "--steps", "2")
    assert result.exit_code == 1
    assert "damaged" in result.stderr


@pytest.mark.parametrize("exists", [True, False])
def test_a_directory_without_an_organism_is_refused(tmp_path: Path, *, exists: bool):
    result = invoke("card", tmp_path if exists else tmp_path / "missing")
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(tmp_path) in result.stderr


def test_a_short_training_leaves_a_model_with_its_card_and_no_checkpoint(tmp_path: Path):
    output = tmp_path / "model"
    result = invoke("train", "--output", output, "--steps", "2", "--lessons", "2", "--json")
    card = json.loads(result.stdout)
    assert card["training"]["num_steps"] == 2
    assert card == json.loads((output / "card.json").read_text())
    assert {path.name for path in output.iterdir()} == {
        "README.md", "card.json", "chat_template.jinja", "config.json", "generation_config.json",
        "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in output.iterdir()} == {0o644}
