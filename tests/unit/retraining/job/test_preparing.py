from pathlib import Path

import numpy as np
import pytest

from functions.retraining.job.preparing import _Shards


def test_xgboost_reads_what_is_written_of_ratios_to_zero(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    shards = _Shards(tmp_path, 10)
    shards.add(np.array([0.0, 1.0, 1.0]), np.array([[np.inf, 1.0], [-np.inf, np.nan], [3.4e38, 2.5]], np.float32))
    assert shards.close() == 1
    text = (tmp_path / "part-00000.csv").read_text()
    assert text == "0,3.4e+38,1\n1,-3.4e+38,\n1,3.39999995e+38,2.5\n"
    values = [[float(field or "nan") for field in line.split(",")[1:]] for line in text.splitlines()]
    assert xgboost.DMatrix(np.array(values, np.float32)).num_row() == 3
