"""What the measurements were made on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("numpy", "onnxruntime", "orjson", "scikit-learn", "skl2onnx")


def machine(*, quick: bool) -> dict[str, Any]:
    """`run` says how long was measured: the short run has the wider spread."""
    return {
        "processor": _processor(),
        "cores": os.process_cpu_count() or 1,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "run": "quick" if quick else "full",
    }


def versions(*libraries: str) -> dict[str, str]:
    """Of Python and of what is installed beside Lastmile."""
    return {"python": platform.python_version(), **{name: version(name) for name in (*LIBRARIES, *libraries)}}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
