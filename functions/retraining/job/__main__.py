"""`python -m functions.retraining.job`: what a training container does; `--root` is another place than /opt/ml."""

import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path

from functions.retraining.job.boosting import boost
from functions.retraining.job.folders import ROOT, Folders
from functions.retraining.job.preparing import prepare
from functions.retraining.job.training import train

STAGES: Mapping[str, Callable[[Folders], None]] = {"train": train, "prepare": prepare, "boost": boost}


def run(root: Path) -> int:
    """The stage that the hyperparameters name; what goes wrong is told where SageMaker looks for it."""
    folders = Folders(root)
    try:
        STAGES[folders.hyperparameters().get("stage", "boost")](folders)
    except Exception as error:  # noqa: BLE001 as SageMaker shows what it was, and nobody else
        traceback.print_exc()
        folders.fail(f"{type(error).__name__}: {error}")
        return 1
    return 0


def main() -> int:
    parser = ArgumentParser(prog="functions.retraining.job")
    parser.add_argument("--root", type=Path, default=ROOT)
    return run(parser.parse_args().root)


if __name__ == "__main__":
    sys.exit(main())
