"""A process that promotes when it is told to: `python promoter.py <store>`, with a version and a revision per line."""

import os
import sys

from lastmile.errors import ReleaseConflict
from lastmile.registry import Registry
from lastmile.store import Store

registry = Registry(Store.open(sys.argv[1], environ=os.environ))
print("ready", flush=True)
for line in sys.stdin:
    version, revision = map(int, line.split())
    try:
        registry.promote("fraud", version, actor=f"process-{os.getpid()}", why="race", expected_revision=revision)
    except ReleaseConflict:
        print("lost", flush=True)
    else:
        print("won", flush=True)
