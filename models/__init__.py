"""The declared models. Each folder trains with `python -m models.<name>.train`."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when onnxruntime is imported
