from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

from functions.retraining.svg import Line, curves, histogram, histogram_plot, interval, matrix, shares

X = np.linspace(0, 1, 1000)
DRAWINGS: list[Callable[[], str]] = [
    lambda: histogram([1, 0, 5], 'a <title> & "more"'),
    lambda: histogram([], "nothing"),
    lambda: shares([("a <b>", 3), ("a very long name that does not fit", 1)], 4, "shares"),
    lambda: shares([], 0, "nothing"),
    lambda: interval(0.5, 0.4, 0.6, (0, 1)),
    lambda: interval(0.5, 0.5, 0.5, (0.5, 0.5)),
    lambda: curves("t", "x", "y", [Line(X, X**2, "ours"), Line(X, X, kind="faint")], unit=True),
    lambda: curves("t", "x", "y", [Line(np.array([3.0]), np.array([0.0]))]),
    lambda: curves("t", "x", "y", [], cloud=Line(X * 1e6, -X * 1e-6)),
    lambda: matrix("t", ["yes", "no & maybe"], np.array([[3, 1], [0, 0]])),
    lambda: matrix("t", [str(number) for number in range(20)], np.eye(20) * 12345),
    lambda: histogram_plot("t", [1, 2, 3], -1.0, 1.0),
]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_every_drawing_is_well_formed_and_has_only_finite_numbers(draw: Callable[[], str]) -> None:
    text = draw()
    ElementTree.fromstring(text)
    assert "nan" not in text
    assert "inf" not in text.replace("info", "")


def test_a_curve_has_few_points_and_keeps_its_ends() -> None:
    text = curves("t", "x", "y", [Line(np.linspace(0, 1, 100_000), np.linspace(0, 1, 100_000))], unit=True)
    assert len(text) < 12_000
    assert "M46.0 220.0" in text
    assert "308.0 10.0" in text


def test_the_highest_bar_fills_the_strip() -> None:
    heights = [rect.get("height") for rect in ElementTree.fromstring(histogram([1, 2, 4], "t")).iter("rect")]
    assert heights == ["8.0", "16.0", "32.0"]
