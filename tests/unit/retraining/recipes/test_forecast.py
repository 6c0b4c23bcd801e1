from dataclasses import replace

import numpy as np
import pytest

from functions.retraining.recipes import load
from functions.retraining.table import Table
from tests.unit.retraining.recipes.examples import sales, sold

LEVELS = ("0.5", "0.8", "0.95")


@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_quantiles_of_values_around_zero_or_below_it_are_as_high_as_they_say(shift: float) -> None:
    wanted, table = sales(), sold()
    wanted = replace(wanted, outputs=(replace(wanted.outputs[0], columns=LEVELS),))
    noise = np.random.default_rng(0).normal(size=table.rows)
    table = Table({**table.columns, "units": 10 * shift + noise})
    recipe = load(wanted)
    training, held_out = recipe.split(table, wanted)
    rows = recipe.examples(held_out, wanted, training=training)
    quantiles = recipe.fit(training, wanted).predict(rows.feeds)["quantiles"]
    below = (rows.truth["value"][:, None] <= quantiles).mean(axis=0)
    np.testing.assert_allclose(below, [float(level) for level in LEVELS], atol=0.12)
