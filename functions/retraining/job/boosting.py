"""Stands in for AWS's XGBoost container where there is none: the same folders, on one machine.

It needs the package xgboost, which no function of ours carries.
"""

import warnings
from typing import Any

from functions.retraining.job.folders import Folders
from lastmile.errors import InvalidInput

MODEL = "xgboost-model"  # as the container names it


def boost(folders: Folders) -> None:
    try:
        import xgboost
    except ImportError:
        raise InvalidInput(
            "the recipe 'xgboost' learns in AWS's container; to learn here, install the package xgboost"
        ) from None
    told: dict[str, Any] = folders.hyperparameters()
    rounds = int(told.pop("num_round"))
    place = folders.folder("train")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reading from files, and the format of a file without a suffix
        rows = xgboost.DMatrix(f"{place}?format=csv&label_column=0&delimiter=,")
        booster = xgboost.train({**told, "nthread": 1}, rows, rounds)
        booster.save_model(folders.model / MODEL)
