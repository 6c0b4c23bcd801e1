import gzip
from pathlib import Path

import numpy as np
import pytest

from functions.retraining.job import preparing
from functions.retraining.job.folders import Folders
from functions.retraining.job.preparing import _Shards
from functions.retraining.job.request import Request
from functions.retraining.job.training import opened
from lastmile.runs import Run, Upload
from tests.unit.retraining.data.files import csv, spec


def test_xgboost_reads_what_is_written_of_ratios_to_zero(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    shards = _Shards(tmp_path, 10)
    shards.add(np.array([0.0, 1.0, 1.0]), np.array([[np.inf, 1.0], [-np.inf, np.nan], [3.4e38, 2.5]], np.float32))
    assert shards.close() == 1
    text = (tmp_path / "part-00000.csv").read_text()
    assert text == "0,3.4e+38,1\n1,-3.4e+38,\n1,3.39999995e+38,2.5\n"
    values = [[float(field or "nan") for field in line.split(",")[1:]] for line in text.splitlines()]
    assert xgboost.DMatrix(np.array(values, np.float32)).num_row() == 3


RUN = Run("r", "fraud", Upload("training/fraud/may.csv", "1", 1, 0.0), "first")
MODEL = spec(training={"recipe": "xgboost", "target": "label"})


def test_an_upload_that_breaks_off_is_reported_on(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    file = folders.folder("upload") / "may.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(csv())[:-20])
    told = preparing.prepared(opened(Request(RUN, MODEL), folders.model), folders)
    assert told.problem is not None
    assert "the gzip file is damaged" in told.problem["reason"]
    assert b"the gzip file is damaged" in (folders.model / "reports/fraud/data/r.json").read_bytes()


def test_a_class_that_is_rare_is_counted_in_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "SAMPLE_ROWS", 50)
    file = tmp_path / "may.csv"
    file.write_bytes(csv([(f"{row % 7}.5", ("DE", "FR", "IT")[row % 3], str(int(row < 10))) for row in range(2000)]))
    first = preparing._first_reading(opened(Request(RUN, MODEL), tmp_path / "model"), file)
    assert 1.0 not in first.sample["label"]
    assert (first.validation.refusal, first.rows) == (None, 2000)
