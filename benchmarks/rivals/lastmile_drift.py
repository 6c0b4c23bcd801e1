"""Lastmile: from two sets of arrays, texts as texts, to the verdicts; the reference's profile included."""

import sys
from pathlib import Path

import numpy as np
from drift_rows import CATEGORIES, NUMBERS, measured, read

from lastmile.drift import compare
from lastmile.policies import Drift
from lastmile.profile import Profile, reference
from lastmile.tensors import Signature, TensorSpec

signature = Signature(
    (
        TensorSpec("x", "FP32", (-1, NUMBERS), columns=tuple(f"n{i}" for i in range(NUMBERS))),
        *(TensorSpec(f"c{i}", "BYTES", (-1,)) for i in range(len(CATEGORIES))),
    ),
    (TensorSpec("value", "FP32", (-1,)),),
)


def feeds(side):
    floats, codes = read(Path(sys.argv[1]), side)
    found = {"x": floats}
    for index, number in enumerate(CATEGORIES):
        names = np.array([f"v{code}" for code in range(number)], dtype=object)
        found[f"c{index}"] = names[codes[:, index]]
    return found


before, after = feeds("reference"), feeds("current")


def judge():
    profile = reference(signature, "regression", before, {})
    return compare(profile, Profile.of(profile.layout, after, {}), policy=Drift()).to_document()


measured(judge)
