"""Which implementation runs follows the device, unless the environment says otherwise; nonsense is refused."""

from importlib import import_module
from importlib.util import find_spec

import pytest
import torch

from polyglyph.contract.errors import StartupError
from polyglyph.kernels import choice

DEVICES = {"cpu": 0, "cuda": 1, "xpu": 2}
EXPECTED = {
    "annotate": ("cpu", "triton", "reference"),
    "label_scripts": ("cpu", "parallel", "parallel"),
    "steer_route": ("cpu", "triton", "reference"),
    "tally": ("cpu", "reference", "reference"),
}


@pytest.mark.parametrize("operation", EXPECTED)
@pytest.mark.parametrize("device", DEVICES)
def test_the_implementation_follows_the_device(operation: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    assert choice.chosen(operation, torch.device(device)) == EXPECTED[operation][DEVICES[device]]


@pytest.mark.parametrize("operation", choice.IMPLEMENTATIONS)
def test_every_implementation_that_is_listed_is_there_and_no_other(operation: str) -> None:
    assert set(EXPECTED) == set(choice.IMPLEMENTATIONS)
    package = f"polyglyph.kernels.{operation}"
    for name in choice.IMPLEMENTATIONS[operation]:
        assert find_spec(f"{package}.{name}") is not None
    for name in {"reference", "cpu", "triton", "parallel"} - set(choice.IMPLEMENTATIONS[operation]):
        assert find_spec(f"{package}.{name}") is None


@pytest.mark.parametrize("text", ["reference", " steer_route=reference , tally=reference", "reference,annotate=cpu"])
def test_the_environment_forces_one(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, text)
    cpu = torch.device("cpu")
    assert choice.chosen("steer_route", cpu) == choice.chosen("tally", cpu) == "reference"
    assert choice.chosen("annotate", cpu) == ("reference" if text == "reference" else "cpu")
    assert choice.chosen("label_scripts", cpu) == ("cpu" if text.startswith(" ") else "reference")


@pytest.mark.parametrize("text", ["fast", "steer_route=fast", "routing=cpu", "tally=triton", "steer_route="])
def test_what_is_not_there_is_refused_with_what_is(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, f"reference,{text}")
    with pytest.raises(StartupError) as refused:
        choice.chosen("annotate", torch.device("cpu"))
    for expected in (f"'{text}'", choice.VARIABLE, "steer_route: reference, cpu, triton", "OPERATION=NAME"):
        assert expected in str(refused.value)


@pytest.mark.parametrize("operation", choice.IMPLEMENTATIONS)
def test_what_is_chosen_runs(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    assert choice.implementation(operation, torch.device("cpu")) is import_module(f"polyglyph.kernels.{operation}.cpu")


@pytest.mark.parametrize(("name", "device"), [("cpu", "cuda"), ("triton", "cpu")])
def test_what_is_forced_on_a_device_that_it_cannot_run_on_is_refused_with_both(
    monkeypatch: pytest.MonkeyPatch, name: str, device: str
) -> None:
    monkeypatch.setenv(choice.VARIABLE, f"steer_route={name}")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(StartupError, match=rf"'{name}' for steer_route.*\({device}\)"):
        choice.chosen("steer_route", torch.device(device))
