"""The shipped policy is for the shipped organism only, and knows only plans that ship with it."""

from pathlib import Path

from polyglyph import bundled_organism, bundled_plans
from polyglyph.contract.plan import load_plan
from polyglyph.contract.policy import Policy
from polyglyph.server.builtin_policy import FILE_NAME, builtin_policy
from tests.server.fakes import OTHER_BINDING
from tests.support.organism_binding import bind


def test_the_organism_gets_its_policy_with_a_guess_of_the_source():
    policy = builtin_policy(bundled_plans(), bind(bundled_organism()))
    assert policy.guess is not None
    assert set(policy.scripts) == {"Latn", "Cyrl", "Deva", "Geor"}


def test_every_plan_of_the_shipped_policy_ships_too():
    policy = builtin_policy(bundled_plans(), bind(bundled_organism()))
    names = {load_plan(path).name for path in bundled_plans().glob("*.plan.json")}
    assert {target.plan for target in policy.targets().values()} <= names


def test_another_model_gets_an_empty_policy():
    assert builtin_policy(bundled_plans(), OTHER_BINDING) == Policy()


def test_a_folder_without_a_policy_gives_an_empty_one(tmp_path: Path):
    assert not (tmp_path / FILE_NAME).exists()
    assert builtin_policy(tmp_path, OTHER_BINDING) == Policy()
