"""Evidently's DataDriftPreset with its defaults, from two data frames to the report as a dictionary."""

import sys
from pathlib import Path

import pandas as pd
from drift_rows import CATEGORIES, NUMBERS, measured, read
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

numbers = [f"n{i}" for i in range(NUMBERS)]
categories = [f"c{i}" for i in range(len(CATEGORIES))]


def dataset(side: str) -> Dataset:
    floats, codes = read(Path(sys.argv[1]), side)
    frame = pd.DataFrame(floats, columns=numbers)
    for index, name in enumerate(categories):
        frame[name] = [f"v{code}" for code in codes[:, index].tolist()]
    return Dataset.from_pandas(
        frame, data_definition=DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    )


reference, current = dataset("reference"), dataset("current")
measured(lambda: Report([DataDriftPreset()]).run(current, reference).dict())
