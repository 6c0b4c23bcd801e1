"""A training job where there is no SageMaker: the same program as a process of this machine, in the same folders."""

import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from posixpath import basename
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from lastmile.errors import LastmileError
from lastmile.store import Store

HOST = "algo-1"


class JobFailed(LastmileError):
    """As SageMaker would say it: what the program left in output/failure."""


def perform(data: Store, job: Mapping[str, Any]) -> None:
    """Do what was ordered, and leave model.tar.gz and the checkpoints where SageMaker would."""
    with TemporaryDirectory(prefix="lastmile-job-") as folder:
        root = Path(folder)
        _fill(root, data, job)
        command = [sys.executable, "-m", "functions.retraining.job", "--root", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            failure = root / "output/failure"
            raise JobFailed(failure.read_text() if failure.exists() else done.stderr[-1000:])
        archive = root / "model.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            tar.add(root / "model", arcname=".")
        data.put(f"{job['output']}/{job['name']}/output/model.tar.gz", archive.read_bytes())
        for file in sorted((root / "checkpoints").glob("*")):
            data.put(f"{job['shards']}/{file.name}", file.read_bytes())


def _fill(root: Path, data: Store, job: Mapping[str, Any]) -> None:
    """As the state machine's states name channels and files."""
    if job["stage"] == "boost":
        channels = {"train": sorted(data.list(job["shards"]))}
    else:
        channels = {"request": [job["request"]], "upload": [job["upload"]]}
    for channel, paths in channels.items():
        place = _made(root / "input/data" / channel)
        for path in paths:
            with (place / basename(path)).open("wb") as file:
                data.fetch(path, file)
    config = _made(root / "input/config")
    told = {
        "hyperparameters": job["hyperparameters"],
        "resourceconfig": {"current_host": HOST, "hosts": [HOST], "network_interface_name": "lo"},
        "inputdataconfig": {channel: {"TrainingInputMode": "File"} for channel in channels},
    }
    for name, document in told.items():
        (config / f"{name}.json").write_bytes(orjson.dumps(document))
    _made(root / "model")


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
