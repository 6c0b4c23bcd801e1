import numpy as np
import pytest

from functions.retraining.certificate import certify
from functions.retraining.recipes import load, preferences, recommender
from functions.retraining.recipes.recommender import Recommender
from functions.retraining.table import Table
from lastmile.model import OnnxModel
from tests.unit.retraining.recipes.examples import purchases, shop, texts


def fitted(table: Table) -> Recommender:
    found = load(shop()).fit(table, shop())
    assert isinstance(found, Recommender)
    return found


def test_items_beyond_the_linked_ones_speak_for_none_and_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preferences, "LINKED", 3)
    model = fitted(purchases())
    assert (len(model.items), len(model.links), len(model.strengths)) == (5, 4, 4)
    history = np.array([[model.items[4]], [""]], object)
    answers = model.predict({"history": history})
    assert answers["scores"][0].tolist() == answers["scores"][1].tolist()
    certify(model, model.onnx, {"history": history}, shop())


def test_the_settings_are_the_same_however_few_users_are_looked_at_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = fitted(purchases()).onnx
    monkeypatch.setattr(preferences, "CELLS", 7)
    assert fitted(purchases()).onnx == at_once


def test_one_long_name_does_not_make_all_of_them_long() -> None:
    table = purchases()
    table["user"][0] = "u" * 10_000_000  # as long as that in every row they would take 15 GB
    assert len(fitted(table).items) == 5


def test_one_endless_history_does_not_make_that_of_everybody_as_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommender, "MOST_SHOWN", 600)
    bot, everybody = [f"i{number}" for number in range(300)], [f"u{number}" for number in range(10)]
    earlier = Table({"user": texts(["bot"] * 300), "item": texts(bot), "at": np.arange(300.0)})
    later = Table({"user": texts([*everybody, "bot"]), "item": texts(["new"] * 11), "at": np.full(11, 300.0)})
    history = load(shop()).examples(later, shop(), training=earlier).feeds["history"]
    assert history.shape == (11, 54)
    assert history[10].tolist() == bot[-54:]


def test_what_is_there_twice_counts_once() -> None:
    model = fitted(purchases())
    session, bought = OnnxModel.open(model.onnx, threads=1), model.items[1:3]
    once, twice = (session.run(["scores"], {"history": np.array([[*bought] * times], object)})[0] for times in (1, 2))
    np.testing.assert_array_equal(once, twice)
