"""The policy that ships with the organism: in force while nobody has put another, and only for its own model."""

from pathlib import Path

from polyglyph.contract.model import ModelBinding
from polyglyph.contract.plan import load_plan
from polyglyph.contract.policy import Policy, load_policy

FILE_NAME = "auto.policy.json"


def builtin_policy(folder: Path, loaded: ModelBinding) -> Policy:
    """Give the shipped policy, or an empty one where the loaded model is not the one its plans were made for.

    Args:
        folder: Of the shipped plans.
        loaded: The loaded model.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return Policy()
    policy = load_policy(file)
    plans = {target.plan for target in policy.targets().values()}
    fits = all(load_plan(folder / f"{plan}.plan.json").model == loaded for plan in plans)
    return policy if fits else Policy()
