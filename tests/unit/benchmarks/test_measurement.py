import numpy as np
import pytest

from benchmarks import boxes, sections
from benchmarks.measurement import alternate, figure, ratio


def test_contenders_take_turns_and_each_begins_a_round() -> None:
    asked: list[str] = []

    def contender(name: str) -> float:
        asked.append(name)
        return float(len(asked))

    samples = alternate({name: lambda name=name: contender(name) for name in "abc"}, rounds=3)  # type: ignore[misc]
    assert "".join(asked) == "abcbcacab"
    assert samples == {"a": [1.0, 6.0, 8.0], "b": [2.0, 4.0, 9.0], "c": [3.0, 5.0, 7.0]}


def test_a_section_whose_time_is_over_measures_a_few_rounds_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "SECONDS", {"short": (0, 60)})
    for quick, rounds in ((True, boxes.LEAST_ROUNDS), (False, 20)):
        boxes.begin("short", quick=quick)
        assert len(alternate({"a": lambda: 1.0}, rounds=20)["a"]) == rounds
        boxes.end()
    assert len(alternate({"a": lambda: 1.0}, rounds=20)["a"]) == 20


def test_the_boxes_fit_into_the_time_that_is_promised() -> None:
    for quick, promised in ((0, boxes.QUICK_SECONDS), (1, boxes.FULL_SECONDS)):
        assert sum(boxes.SECONDS.get(name, boxes.OTHERS)[quick] for name in sections.SPEED) <= promised


def test_a_figure_is_a_median_with_quartiles() -> None:
    found = figure([1.0, 2.0, 3.0, 4.0, 100.0], "ms")
    assert (found.low, found.median, found.high, found.unit, found.n) == (2.0, 3.0, 4.0, "ms", 5)


def test_a_ratio_is_of_rounds_so_that_a_slow_round_for_all_changes_nothing() -> None:
    weather = np.random.default_rng(1).uniform(1, 10, 40)
    found = ratio(list(3.0 * weather), list(2.0 * weather))
    assert (found.low, found.value, found.high) == pytest.approx((1.5, 1.5, 1.5))


def test_the_interval_holds_the_true_ratio_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        found = ratio(list(draw.lognormal(np.log(2), 0.2, 30)), list(draw.lognormal(0, 0.2, 30)))
        held += found.low <= 2.0 <= found.high
    assert 180 <= held <= 200
