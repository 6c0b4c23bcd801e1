"""The CDK app run as the CDK's command line runs it, without needing that."""

import json
import os
import subprocess
import sys
from pathlib import Path

from cli.target import CHECKOUT


def run(out: Path, *program: str, **context: str) -> subprocess.CompletedProcess[str]:
    """The app, or another program in its place; `context` over that of cdk.json. Takes seconds."""
    settled = json.loads((CHECKOUT / "cdk.json").read_text())["context"] | context
    return subprocess.run(
        [sys.executable, *(program or ("-m", "infra.app"))],
        cwd=CHECKOUT,
        env=os.environ | {"CDK_OUTDIR": str(out), "CDK_CONTEXT_JSON": json.dumps(settled)},
        capture_output=True,
        text=True,
        check=False,
    )


def synthesise(out: Path, **context: str) -> Path:
    done = run(out, **context)
    assert done.returncode == 0, done.stderr
    return out
