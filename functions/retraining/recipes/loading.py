"""Finds the recipe that a spec names."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import cast

from functions.retraining.recipes.contract import Recipe
from lastmile.errors import InvalidSpec
from lastmile.spec import ModelSpec

MODELS = Path(__file__).parents[3] / "models"
LARGEST_SEED = 2**32 - 1  # of scikit-learn
MONOTONIC = ("tabular", "xgboost", "own")
FUNCTIONS = ("check", "split", "fit", "examples")


def load(spec: ModelSpec, models: Path = MODELS) -> Recipe:
    """The recipe, after it has checked the spec; raises InvalidSpec."""
    if spec.training is None:
        raise InvalidSpec("training: missing; a model without it is pushed, not trained")
    if spec.training.seed > LARGEST_SEED:
        raise InvalidSpec(f"training.seed: {spec.training.seed} is above {LARGEST_SEED}, the largest there is")
    own = spec.training.recipe == "own"
    _check_heavy(spec)
    _check_monotonic(spec, spec.training.recipe)
    module = _own(models / spec.name / "recipe.py") if own else _shipped(spec.training.recipe)
    recipe = cast(Recipe, module)
    recipe.check(spec)
    return recipe


def _check_heavy(spec: ModelSpec) -> None:
    """What is trained is packed for the endpoint as it is."""
    if spec.heavy is not None and spec.heavy.precision != "fp32":
        raise InvalidSpec(
            f"heavy.precision: training leaves single floats, so it must be 'fp32' and not {spec.heavy.precision!r}; "
            "half floats are made and certified by `lastmile push --heavy`"
        )


def _check_monotonic(spec: ModelSpec, recipe: str) -> None:
    told = [name for name, feature in spec.features.items() if feature.monotonic is not None]
    if told and recipe not in MONOTONIC:
        raise InvalidSpec(
            f"features.{told[0]}.monotonic: the recipe {recipe!r} cannot hold to it, tabular and xgboost can"
        )


def _shipped(name: str) -> ModuleType:
    return importlib.import_module(f"functions.retraining.recipes.{name}")


def _own(path: Path) -> ModuleType:
    if not path.is_file():
        raise InvalidSpec(f"training.recipe: 'own' needs the file models/{path.parent.name}/recipe.py")
    found = importlib.util.spec_from_file_location(f"models.{path.parent.name}.recipe", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    if missing := [name for name in FUNCTIONS if not callable(getattr(module, name, None))]:
        raise InvalidSpec(f"training.recipe: models/{path.parent.name}/recipe.py has no function {missing[0]}")
    return module
