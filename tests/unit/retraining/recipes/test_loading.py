from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functions.retraining.recipes import load
from functions.retraining.recipes.loading import load as load_from
from lastmile.errors import InvalidSpec
from lastmile.policies import Feature
from tests.unit.retraining.recipes.examples import (
    LABEL,
    NUMBERS,
    PROBABILITIES,
    classified,
    messages,
    sales,
    shop,
    spec,
)

MONOTONIC: dict[str, Any] = {"monotonic": "increasing"}
OWN = spec("classification", [NUMBERS], [LABEL, PROBABILITIES], {"recipe": "own", "target": "y"})


def test_a_spec_without_training_has_no_recipe() -> None:
    with pytest.raises(InvalidSpec, match="training: missing"):
        load(replace(OWN, training=None))


def test_an_own_recipe_is_found_in_the_models_folder(tmp_path: Path) -> None:
    (tmp_path / "example").mkdir()
    file = tmp_path / "example/recipe.py"
    file.write_text("def check(spec): pass\ndef split(table, spec): pass\ndef fit(training, spec): pass\n")
    with pytest.raises(InvalidSpec, match="no function examples"):
        load_from(OWN, tmp_path)
    file.write_text(file.read_text() + "def examples(rows, spec, *, training): return 42\n")
    assert load_from(OWN, tmp_path).examples(None, OWN, training=None) == 42  # type: ignore[arg-type, comparison-overlap]


def test_an_own_recipe_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidSpec, match=r"models/example/recipe\.py"):
        load(OWN)


@pytest.mark.parametrize(
    ("made", "key"),
    [
        (lambda: classified({"sedes": 3}), "training.options.sedes: unknown key"),
        (lambda: classified({"products": [["a", "kind"]]}), "training.options.products"),
        (lambda: messages(characters=[1]), "training.options.characters"),
        (lambda: shop(item="user"), "training.options.item"),
        (lambda: sales(horizon=0), "training.options.horizon"),
        (lambda: sales(seasons=[7, 3.5]), "training.options.seasons: must be whole numbers"),
        (lambda: classified(features={"other": {"sensitive": True, **MONOTONIC}}), "features.other.monotonic"),
        (lambda: classified({"ratios": [["b", "a"]]}, features={"a": MONOTONIC}), "training.options.ratios: of 'a'"),
        (lambda: replace(sales(), features={"promotion": Feature(**MONOTONIC)}), "features.promotion.monotonic"),
    ],
)
def test_what_a_recipe_cannot_work_with_is_named(made, key) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidSpec, match=key):
        load(made())


def test_a_seed_is_one_that_every_recipe_can_begin_with() -> None:
    training = {"recipe": "tabular", "target": "y", "seed": 2**32}
    with pytest.raises(InvalidSpec, match="training.seed: 4294967296 is above 4294967295"):
        load(spec("classification", [NUMBERS], [LABEL, PROBABILITIES], training))
