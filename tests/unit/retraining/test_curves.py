import numpy as np

from functions.retraining.curves import curves


def test_the_confusions_of_very_many_classes_take_memory_for_those_that_were_made() -> None:
    names = [str(number) for number in range(100_000)]  # all pairs of them would take 80 GB
    truth, said = np.array([7, 7, 7, 8, 9]), np.array([7, 8, 8, 8, 7])
    drawn = curves("classification", {"label": said}, {"label": truth}, names)
    wanted = [("7", "8", 2), ("9", "7", 1)]
    assert [(one["true"], one["predicted"], one["rows"]) for one in drawn["confusions"]] == wanted
