"""What is built: one row per folder under `.build/assets`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Lambda's name of an architecture, and the platform whose wheels run on its Amazon Linux 2023 (glibc 2.34).
PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}


@dataclass(frozen=True, kw_only=True)
class Asset:
    """`packages` is the folder inside the asset that Python searches; `mount` is where Lambda shows the asset.

    `unneeded` are locked packages that nothing imports, `pruned` their files that nothing reads, and `elsewhere`
    source files that run in another place than Lambda. `beside` are layers that are always mounted with this one.
    With `undocumented` its bytecode holds no docstrings.
    """

    name: str
    group: str
    requirements: str
    sources: Mapping[str, str]
    mount: str
    packages: str = "."
    layers: tuple[str, ...] = ()
    unneeded: tuple[str, ...] = ()
    pruned: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    undocumented: bool = False


def _layer(
    name: str,
    *,
    unneeded: tuple[str, ...],
    pruned: tuple[str, ...],
    beside: tuple[str, ...] = (),
    undocumented: bool = False,
) -> Asset:
    return Asset(
        name=f"{name}-layer",
        group=f"{name}-layer",
        requirements=f"layers/{name}/requirements.txt",
        sources={f"layers/{name}/python": "python"},
        mount="/opt",
        packages="python",
        unneeded=unneeded,
        pruned=pruned,
        beside=beside,
        undocumented=undocumented,
    )


def _function(
    name: str,
    *,
    layers: tuple[str, ...],
    elsewhere: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    pruned: tuple[str, ...] = (),
) -> Asset:
    """`also` are files beside the function's folder, which keep their paths."""
    sources = ("functions/__init__.py", f"functions/{name}", *also)
    return Asset(
        name=name,
        group=name,
        requirements=f"functions/{name}/requirements.txt",
        sources={source: source for source in sources},
        mount="/var/task",
        layers=layers,
        elsewhere=tuple(f"functions/{name}/{file}" for file in elsewhere),
        pruned=pruned,
    )


# A model may bring its own.
OWN_RECIPES = tuple(file.relative_to(ROOT).as_posix() for file in sorted((ROOT / "models").glob("*/recipe.py")))

ASSETS = {
    asset.name: asset
    for asset in (
        _layer(
            "onnx",
            # Declared by onnxruntime for its conversion tools, which the layer leaves out; running a model needs none.
            unneeded=("flatbuffers", "packaging", "protobuf"),
            pruned=(
                "onnxruntime/capi/libonnxruntime.so.*",  # the C library again; Python's module holds its own copy
                "onnxruntime/backend/*",
                "onnxruntime/datasets/*",
                "onnxruntime/quantization/*",
                "onnxruntime/tools/*",
                "onnxruntime/transformers/*",
                "numpy/_core/_simd.*",  # numpy's own tests of its vector code
                "numpy/_core/*_tests.*",
                "numpy/_core/include/*",
                "numpy/_pyinstaller/*",
                "numpy/f2py/src/*",  # the rest is imported by `from numpy import *`, as scipy says it
                "numpy/random/_examples/*",
                "aws_lambda_powertools/event_handler/openapi/swagger_ui/*",
            ),
        ),
        _layer(
            "training",
            beside=("onnx-layer",),
            undocumented=True,  # half of 23 MB, and Lambda's limit is near
            unneeded=("ml-dtypes",),  # 25 MB, of which onnx wants the names: they are in layers/training/python
            pruned=(
                "joblib/test/*",
                "narwhals/_arrow/*",
                "narwhals/_dask/*",
                "narwhals/_duckdb/*",
                "narwhals/_ibis/*",
                "narwhals/_interchange/*",
                "narwhals/_pandas_like/*",
                "narwhals/_polars/*",
                "narwhals/_spark_like/*",
                "narwhals/_sql/*",
                "narwhals/testing/*",
                "onnx/backend/*",
                "onnx/fuzz/*",
                "onnx/reference/*",
                "onnx/*.cc",
                "onnx/*.proto*",
                "scipy/cluster/*",
                "scipy/datasets/*",
                "scipy/differentiate/*",
                "scipy/fftpack/*",
                "scipy/io/*",
                "scipy/odr/*",
                "scipy/signal/*",
                "scipy/stats/_unuran/*",
                "scipy/*.pyx",
                # scipy's own tests and tables, and what only Cython modules of others call.
                "scipy/*/_test_*",
                "scipy/_lib/_fpumode.*",
                "scipy/ndimage/_c*test.*",
                "scipy/optimize/cython_optimize/*",
                "scipy/special/_add_newdocs.py",
                "scipy/special/_*testutils.py",
                "scipy/special/_precompute/*",
                # Arrays of packages that are not here.
                "*/array_api_compat/cupy/*",
                "*/array_api_compat/dask/*",
                "*/array_api_compat/torch/*",
                "sklearn/datasets/*",
                "sklearn/externals/_arff.py",
                "sklearn/*.pyx",
                "sklearn/*.tp",
                "sklearn/*/meson.build",
                "skl2onnx/tutorial/*",
            ),
        ),
        _function(
            "inference",
            layers=("onnx-layer",),
            # The server door, which runs in a container, and the endpoint of the local AWS.
            elsewhere=(
                "background.py",
                "captures.py",
                "connection.py",
                "container.py",
                "lines.py",
                "listening.py",
                "local_endpoint.py",
                "local_models.py",
                "metrics.py",
                "outbox.py",
                "pace.py",
                "server.py",
                "server_door.py",
            ),
        ),
        _function("control", layers=("onnx-layer",)),
        _function(
            "chat",
            layers=("onnx-layer",),
            also=(
                "models/tickets/assistant.toml",
                "models/tickets/faq.toml",
                "models/recommendations/catalogue.csv",
                "events/chat",
            ),
        ),
        _function("capture", layers=("onnx-layer",)),
        _function("drift", layers=("onnx-layer",)),
        _function(
            "batch",
            layers=("onnx-layer",),
            elsewhere=("here.py", "local.py", "progress.py"),  # on the user's own machine
            pruned=(
                "pyarrow/*.pxi",
                "pyarrow/*.pyx",
                "pyarrow/_azurefs.*",
                "pyarrow/_dataset*",
                "pyarrow/_flight.*",
                "pyarrow/_gcsfs.*",
                "pyarrow/_hdfs.*",
                "pyarrow/_orc.*",
                "pyarrow/_parquet_encryption.*",
                "pyarrow/_s3fs.*",
                "pyarrow/_substrait.*",
                "pyarrow/include/*",
                "pyarrow/libarrow_flight.*",  # what is linked with the others stays, used or not
                "pyarrow/libarrow_python.so",
                "pyarrow/libarrow_python.so.*.*",
                "pyarrow/libarrow_python_flight.*",
                "pyarrow/libarrow_python_parquet_encryption.*",
                "pyarrow/libarrow_s3.*",
                "pyarrow/src/*",
                "pyarrow/tests/*",
            ),
        ),
        _function("retraining", layers=("onnx-layer", "training-layer"), also=OWN_RECIPES),
    )
}
