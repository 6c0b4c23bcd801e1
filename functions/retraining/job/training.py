"""What the pipeline's steps `validate` and `train` do, in a training container: the same steps, on the same code.

The store that they write to is the folder that becomes model.tar.gz, so that what comes out has the very paths that it
will have in the data bucket.
"""

import time
from pathlib import Path

import orjson

from functions.retraining import steps
from functions.retraining.executions import Executions
from functions.retraining.job.folders import Folders
from functions.retraining.job.request import OUTCOME, Request, Told
from functions.retraining.work import Desk, Job, problem
from lastmile.bus import Bus
from lastmile.errors import LastmileError
from lastmile.registry import Registry
from lastmile.store import Store

KEPT_CELLS = 20_000_000  # values of the training rows, and of those held out, that later steps are given


def train(folders: Folders) -> None:
    request = Request.from_bytes(folders.file("request").read_bytes())
    told = trained(request, folders)
    (folders.model / OUTCOME).write_bytes(told.to_bytes())


def trained(request: Request, folders: Folders) -> Told:
    job = opened(request, folders.model)
    facts = {}
    try:
        with folders.file("upload").open("rb") as file:
            facts["validate"] = steps.validated(job, file).facts
        facts["train"] = steps.train(job).facts
    except LastmileError as error:
        return Told(facts, problem("train" if "validate" in facts else "validate", error))
    (folders.model / request.run.path("table.bin")).unlink()  # nobody asks for it any more
    return Told(facts)


def opened(request: Request, folder: Path) -> Job:
    """The run, with nothing around it: no release, nobody to tell, and only this folder to write to."""
    data = Store.open(folder.absolute().as_uri(), environ={})
    data.put(request.run.path("spec.json"), orjson.dumps(request.spec.to_document()))
    desk = Desk(
        data=data,
        registry=Registry(Store.open("memory://", environ={})),
        profiles=lambda *_: None,
        bus=Bus(None),
        executions=Executions(),
        clock=time.time,
        most_cells=KEPT_CELLS,
    )
    return Job(desk, request.run, "")
