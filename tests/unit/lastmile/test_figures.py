import json

from lastmile.figures import NAMESPACE, line, observations

OF_A_MODEL = {"stage": "dev", "model": "fraud"}


def test_a_line_is_in_the_embedded_metric_format() -> None:
    written = line({"DriftedFeatures": 2, "LargestEffect": 0.25}, dimensions=OF_A_MODEL, at=1_773_500_966.5)
    assert written is not None
    assert written.endswith("\n")
    assert written.count("\n") == 1
    assert json.loads(written) == {
        "_aws": {
            "Timestamp": 1_773_500_966_500,
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["stage", "model"]],
                    "Metrics": [{"Name": "DriftedFeatures"}, {"Name": "LargestEffect"}],
                }
            ],
        },
        "stage": "dev",
        "model": "fraud",
        "DriftedFeatures": 2,
        "LargestEffect": 0.25,
    }


def test_what_is_no_finite_number_is_left_out() -> None:
    written = line({"A": 1.0, "B": None, "C": float("nan"), "D": float("inf")}, dimensions=OF_A_MODEL, at=0)
    assert written is not None
    assert {"A"} == json.loads(written).keys() - {"_aws", "stage", "model"}


def test_without_a_figure_there_is_no_line() -> None:
    assert line({"B": None}, dimensions=OF_A_MODEL, at=0) is None


def test_many_observations_are_one_figure() -> None:
    written = line({"Milliseconds": [1.0, 2.0], "None": []}, dimensions=OF_A_MODEL, at=0)
    assert written is not None
    document = json.loads(written)
    assert (document["Milliseconds"], "None" in document) == ([1.0, 2.0], False)


def test_of_very_many_observations_a_hundred_stand_for_all() -> None:
    chosen = observations(float(number) for number in range(10_000, 0, -1))
    assert (len(chosen), chosen[0], chosen[-1]) == (100, 1, 10_000)
    assert abs(chosen[50] - 5_000) < 150
    assert observations([3, 1]) == [1, 3]
