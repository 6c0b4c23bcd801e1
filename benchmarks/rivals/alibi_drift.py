"""Alibi Detect's TabularDrift with its defaults, from two arrays (categories are numbers already) to the verdicts."""

import sys
from pathlib import Path

import numpy as np
from alibi_detect.cd import TabularDrift
from drift_rows import CATEGORIES, NUMBERS, measured, read


def array(side: str) -> np.ndarray:
    floats, codes = read(Path(sys.argv[1]), side)
    return np.concatenate([floats, codes.astype(np.float32)], axis=1)


reference, current = array("reference"), array("current")
categorical = {NUMBERS + index: None for index in range(len(CATEGORIES))}
measured(lambda: TabularDrift(reference, p_val=0.05, categories_per_feature=categorical).predict(current))
