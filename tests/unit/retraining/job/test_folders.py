from pathlib import Path

import pytest

from functions.retraining.job.__main__ import run
from functions.retraining.job.folders import Folders
from lastmile.errors import InvalidInput


def written(root: Path, **files: str) -> Folders:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return Folders(root)


def test_the_folders_are_those_of_a_training_container(tmp_path: Path) -> None:
    folders = written(
        tmp_path,
        **{
            "input/config/hyperparameters.json": '{"stage": "train"}',
            "input/config/resourceconfig.json": '{"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}',
            "input/config/inputdataconfig.json": '{"upload": {"TrainingInputMode": "File"}}',
            "input/data/upload/may.csv": "a\n1\n",
        },
    )
    assert folders.hyperparameters() == {"stage": "train"}
    assert folders.hosts() == ("algo-2", ["algo-1", "algo-2"])
    assert folders.channels() == {"upload": {"TrainingInputMode": "File"}}
    assert folders.file("upload").name == "may.csv"
    assert folders.model == tmp_path / "model"
    assert folders.model.is_dir()


def test_a_channel_holds_one_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="the channel 'upload' holds 0 files, not one"):
        Folders(tmp_path).file("upload")


def test_what_goes_wrong_is_told_where_sagemaker_looks_for_it(tmp_path: Path) -> None:
    written(tmp_path, **{"input/config/hyperparameters.json": '{"stage": "train"}'})
    assert run(tmp_path) == 1
    assert (tmp_path / "output/failure").read_text() == "InvalidInput: the channel 'request' holds 0 files, not one"


def test_a_long_failure_is_cut(tmp_path: Path) -> None:
    Folders(tmp_path).fail("x" * 5000)
    assert len((tmp_path / "output/failure").read_text()) == 1024
