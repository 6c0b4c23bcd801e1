import json
from typing import Any

import numpy as np
import pytest

from lastmile.drift import compare
from lastmile.drift.model_monitor import baseline
from lastmile.errors import ProfileMismatch
from lastmile.policies import Drift
from lastmile.profile import Profile
from lastmile.tensors import Array


def sketched(values: Array) -> dict[str, Any]:
    """As Model Monitor's container writes them: every fourth item stands for four rows, and there are ten buckets."""
    counts, edges = np.histogram(values, 10)
    buckets = [
        {"lower_bound": low, "upper_bound": high, "count": float(count)}
        for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    ]
    data = [[], [], np.sort(values)[::4].tolist()]
    return {"kll": {"buckets": buckets, "sketch": {"parameters": {"c": 0.64, "k": 2048.0}, "data": data}}}


def statistics(values: Array, countries: list[str]) -> dict[str, Any]:
    return {
        "version": 0.0,
        "dataset": {"item_count": len(values)},
        "features": [
            {
                "name": "amount",
                "inferred_type": "Fractional",
                "numerical_statistics": {
                    "common": {"num_present": len(values), "num_missing": 0},
                    "mean": float(values.mean()),
                    "sum": float(values.sum()),
                    "std_dev": float(values.std()),
                    "min": float(values.min()),
                    "max": float(values.max()),
                    "distribution": sketched(values),
                },
            },
            {
                "name": "country",
                "inferred_type": "String",
                "string_statistics": {
                    "common": {"num_present": len(countries), "num_missing": 0},
                    "distinct_count": float(len(set(countries))),
                    "distribution": {
                        "categorical": {
                            "buckets": [{"value": name, "count": countries.count(name)} for name in set(countries)]
                        }
                    },
                },
            },
        ],
    }


RANDOM = np.random.default_rng(0)
AMOUNTS = RANDOM.lognormal(size=4000)
COUNTRIES = RANDOM.choice(["DE", "FR"], 4000).tolist()


def judged(reference: Profile, amounts: Array, countries: list[str]) -> dict[str, str]:
    rows = {"amount": amounts, "country": np.array(countries, dtype=object)}
    report = compare(reference, Profile.of(reference.layout, rows, {}), policy=Drift())
    return {row.name: row.verdict for row in report.by_feature()}


def test_a_baseline_is_a_reference_to_compare_with() -> None:
    reference = baseline(statistics(AMOUNTS, COUNTRIES))
    amount = reference.features["amount"]
    assert amount.values == 4000
    assert amount.mean == pytest.approx(AMOUNTS.mean())
    assert amount.deviation == pytest.approx(AMOUNTS.std(), rel=1e-4)
    fresh = RANDOM.lognormal(size=4000)
    assert judged(reference, fresh, COUNTRIES) == {"amount": "stable", "country": "stable"}
    changed = judged(reference, fresh * 2, RANDOM.choice(["DE", "FR", "IT"], 4000).tolist())
    assert changed == {"amount": "drifted", "country": "drifted"}
    again = Profile.from_document(json.loads(json.dumps(reference.to_document(), allow_nan=False)))
    assert again.to_document() == reference.to_document()


def test_without_a_sketch_the_ten_buckets_serve() -> None:
    document = statistics(RANDOM.uniform(size=4000), COUNTRIES)
    del document["features"][0]["numerical_statistics"]["distribution"]["kll"]["sketch"]
    reference = baseline(document)
    assert reference.features["amount"].values == 4000
    assert judged(reference, RANDOM.uniform(0.3, 1.3, size=4000), COUNTRIES)["amount"] == "drifted"


def test_the_domain_of_the_constraints_says_what_is_unseen() -> None:
    constraints = {
        "version": 0.0,
        "features": [
            {
                "name": "country",
                "inferred_type": "String",
                "completeness": 1.0,
                "string_constraints": {"domains": ["DE"]},
            }
        ],
    }
    reference = baseline(statistics(AMOUNTS, COUNTRIES), constraints)
    assert reference.features["country"].layout.categories == ("DE",)
    assert reference.features["country"].unseen == COUNTRIES.count("FR")


def test_a_column_of_which_nothing_is_known_is_left_out() -> None:
    document = statistics(AMOUNTS, COUNTRIES)
    document["features"].append({"name": "empty", "inferred_type": "Unknown"})
    assert list(baseline(document).features) == ["amount", "country"]


def test_a_feature_that_was_always_missing_is_no_obstacle() -> None:
    document = statistics(AMOUNTS, COUNTRIES)
    document["features"][0]["numerical_statistics"]["common"] = {"num_present": 0, "num_missing": 4000}
    assert baseline(document).features["amount"].missing == 4000


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "version None"),
        ({"version": 1.0}, "version 1.0"),
        ({"version": 0.0}, "lacks 'dataset'"),
        ([], r"version \[\]"),
        (
            {"version": 0.0, "dataset": {"item_count": 1e999}, "features": []},
            "in another way: .*cannot convert float inf",
        ),
        ({"version": 0.0, "dataset": {"item_count": -1}, "features": []}, "in another way: .*-1 is no count"),
        ({"version": 0.0, "dataset": {"item_count": 1}, "features": [3]}, "has no name"),
        ({"version": 0.0, "dataset": {"item_count": 1}, "features": [{"name": "x"}]}, "describes 'x'"),
    ],
)
def test_what_is_no_baseline_is_refused_in_a_sentence(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ProfileMismatch, match=said):
        baseline(document)


@pytest.mark.parametrize(
    ("key", "value"), [("num_present", -1), ("num_missing", 1e300), ("std_dev", 1e999), ("min", float("nan"))]
)
def test_figures_that_there_cannot_be_are_refused_with_the_feature(key: str, value: float) -> None:
    document = statistics(np.arange(100.0), ["DE", "FR"] * 50)
    numbers = document["features"][0]["numerical_statistics"]
    (numbers["common"] if key in numbers["common"] else numbers)[key] = value
    with pytest.raises(ProfileMismatch, match=r"statistics.json describes 'amount' in another way"):
        baseline(document)
    with pytest.raises(ProfileMismatch, match=r"constraints.json is written in another way"):
        baseline(statistics(np.arange(100.0), ["DE", "FR"] * 50), {"features": 3})
