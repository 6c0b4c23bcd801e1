"""Train the digits model: `python -m models.digits.train --out <folder>`.

scikit-learn's bundled handwritten digits (1,797 real images) train a small neural network, which becomes
`model.onnx` and, quantized, `model.int8.onnx`. Both are compared with the scikit-learn object on held-out images,
and `report.json` says what was measured. The same checkout on the same kind of machine gives the same model bytes.
"""

import argparse
import hashlib
import json
import logging
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler
from threadpoolctl import threadpool_limits

type Array = np.ndarray[Any, Any]

SEED = 0
TEST_SHARE = 0.25
HIDDEN_LAYERS = (512, 256)
MAX_EPOCHS = 200
OPSET = 21
CALIBRATION_ROWS = 64
PROBABILITY_TOLERANCE = 1e-4  # float32 graph against scikit-learn
ACCURACY_BOUND = 0.01  # what int8 may lose
LIBRARIES = ("numpy", "onnx", "onnxruntime", "protobuf", "scikit-learn", "skl2onnx")


class CertificationFailed(Exception):
    """A converted model does not answer as the trained one does."""


@dataclass(frozen=True)
class Split:
    """Images are float32 [rows, 64], row-major pixels; labels are int64 [rows]."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


@dataclass(frozen=True)
class Metrics:
    accuracy: float
    log_loss: float
    latency_us: float  # median of one call with one row, one thread
    latency_us_per_row: float  # the same for all held-out rows in one call


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: Array) -> None:
        self.batches: Iterator[Array] = iter(np.split(images, range(CALIBRATION_ROWS, len(images), CALIBRATION_ROWS)))

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"image": batch}


def split() -> Split:
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        images.astype(np.float32), labels.astype(np.int64), test_size=TEST_SHARE, stratify=labels, random_state=SEED
    )
    return Split(parts[0], parts[2], parts[1], parts[3])


def fit(data: Split) -> Pipeline:
    """One thread: the order in which BLAS adds up decides the last bits of the weights."""
    network = MLPClassifier(HIDDEN_LAYERS, max_iter=MAX_EPOCHS, random_state=SEED)
    with threadpool_limits(1):
        return make_pipeline(MinMaxScaler(), network).fit(data.train_images, data.train_labels)


def convert(pipeline: Pipeline) -> bytes:
    graph = to_onnx(
        pipeline,
        name="digits",  # otherwise a random one
        initial_types=[("image", FloatTensorType([None, 64]))],
        options={id(pipeline): {"zipmap": False}},
        target_opset=OPSET,
    )
    return bytes(graph.SerializeToString())


def quantize(model: bytes, calibration_images: Array) -> bytes:
    """Static int8: weights and the inputs of each layer, with scales fixed by the training images.

    Dynamic quantization is as small but takes its scales from the batch at hand, so that an image's probabilities
    depend on the images sent beside it (by up to 0.02 here). Layer outputs stay float: faster, and closer to fp32.
    """
    with tempfile.TemporaryDirectory() as name:
        plain, prepared, quantized = (Path(name, file) for file in ("plain.onnx", "prepared.onnx", "quantized.onnx"))
        plain.write_bytes(model)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantized,
            Calibration(calibration_images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gemm"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"],
                "QDQDisableWeightAdjustForInt32Bias": True,
            },
        )
        return quantized.read_bytes()


def open_session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def probabilities(model: bytes, images: Array) -> Array:
    answer: Array = open_session(model).run(["probabilities"], {"image": images})[0]
    return answer


def measure(model: bytes, data: Split) -> Metrics:
    session = open_session(model)
    labels, scores = session.run(["label", "probabilities"], {"image": data.test_images})
    one = median_seconds(session, data.test_images[:1], repeats=1000)
    batch = median_seconds(session, data.test_images, repeats=30)
    return Metrics(
        accuracy=round(float((labels == data.test_labels).mean()), 4),
        log_loss=round(float(log_loss(data.test_labels, scores)), 4),
        latency_us=round(one * 1e6, 1),
        latency_us_per_row=round(batch * 1e6 / len(data.test_images), 2),
    )


def median_seconds(session: ort.InferenceSession, images: Array, *, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        session.run(None, {"image": images})
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def probes(data: Split) -> Array:
    """Held-out images, and images the data does not hold: blank, full, saturated, and seeded noise."""
    noise = np.random.default_rng(SEED).uniform(0, 16, (200, 64))
    edges = np.array([np.zeros(64), np.full(64, 16), np.full(64, 255)])
    return np.concatenate([data.test_images, edges, noise]).astype(np.float32)


def certify(pipeline: Pipeline, model: bytes, images: Array) -> dict[str, float]:
    """Compare the converted graph with the trained object; raises CertificationFailed where they disagree."""
    labels, scores = open_session(model).run(["label", "probabilities"], {"image": images})
    expected = pipeline.predict_proba(images)
    found = {
        "rows": len(images),
        "label_mismatches": int((labels != pipeline.predict(images)).sum()),
        "largest_probability_difference": float(np.abs(scores - expected).max()),
    }
    if found["label_mismatches"] or found["largest_probability_difference"] > PROBABILITY_TOLERANCE:
        raise CertificationFailed(f"the ONNX graph and the scikit-learn model disagree: {found}")
    return found


def train(out: Path) -> dict[str, Any]:
    """Write both models and the report into `out`; raises before anything is written when one does not hold."""
    data = split()
    pipeline = fit(data)
    plain = convert(pipeline)
    certificate = certify(pipeline, plain, probes(data))
    small = quantize(plain, data.train_images)
    before, after = measure(plain, data), measure(small, data)
    check_loss(before.accuracy, after.accuracy)
    report = {
        "model": "digits",
        "seed": SEED,
        "data": describe_data(data),
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "certificate": certificate,
        "fp32": describe("model.onnx", plain, before) | {"compression": {"kind": "none"}},
        "int8": describe("model.int8.onnx", small, after) | {"compression": compare(plain, small, data.test_images)},
        "images": held_out_images(data),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(plain)
    (out / "model.int8.onnx").write_bytes(small)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def check_loss(before: float, after: float) -> None:
    if after < before - ACCURACY_BOUND:
        raise CertificationFailed(f"int8 loses too much accuracy: {after} after {before}")


def describe_data(data: Split) -> dict[str, Any]:
    images, labels = load_digits(return_X_y=True)
    content = images.astype("<f4").tobytes() + labels.astype("<i8").tobytes()
    return {
        "source": "sklearn.datasets.load_digits",
        "sha256": digest(content),
        "train_rows": len(data.train_images),
        "test_rows": len(data.test_images),
    }


def describe(file: str, model: bytes, metrics: Metrics) -> dict[str, Any]:
    return {"file": file, "sha256": digest(model), "bytes": len(model), "metrics": asdict(metrics)}


def compare(plain: bytes, small: bytes, images: Array) -> dict[str, Any]:
    difference = np.abs(probabilities(small, images) - probabilities(plain, images)).max()
    return {
        "kind": "int8-static",
        "of_sha256": digest(plain),
        "size_ratio": round(len(plain) / len(small), 2),
        "largest_probability_difference": round(float(difference), 4),
    }


def held_out_images(data: Split, count: int = 5) -> list[dict[str, Any]]:
    """The first ones of the split, not chosen."""
    rows = zip(data.test_labels[:count], data.test_images[:count], strict=True)
    return [{"digit": int(label), "image": image.tolist()} for label, image in rows]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the digits model.")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx, model.int8.onnx, report.json")
    out = parser.parse_args().out
    ort.set_default_logger_severity(3)  # its quantizer's own graph clean-up is no warning to a reader
    logging.getLogger().setLevel(logging.ERROR)
    report = train(out)
    for name in ("fp32", "int8"):
        print(
            f"{name}  {report[name]['file']:<16} {report[name]['bytes']:>7,} bytes  "
            f"accuracy {report[name]['metrics']['accuracy']:.4f}  {report[name]['metrics']['latency_us']:.1f} µs a row"
        )


if __name__ == "__main__":
    main()
