"""The one model of all sections: gradient-boosted trees on scikit-learn's breast-cancer data, 30 floats in FP32."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.environments import BENCH
from lastmile.model import OnnxModel
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store

type Array = np.ndarray[Any, Any]

NAME = "cancer"
TREES = 100  # scikit-learn's default, of depth 3: what most people would train
SEED = 0
INPUT = "features"
MADE_BY = ("numpy", "onnx", "scikit-learn", "skl2onnx")


@dataclass(frozen=True)
class Trained:
    """`rows` are all 569 of the data set, float32; in the folder `registry` the model is version 1 and champion."""

    path: Path
    rows: Array
    registry: Path

    @property
    def uri(self) -> str:
        return self.registry.as_uri()

    def session(self, threads: int = 1) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        return ort.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def answers(self, rows: Array) -> tuple[Array, Array]:
        """What the model says by itself: labels int64 [n], probabilities float32 [n, 2]."""
        labels, probabilities = self.session().run(None, {INPUT: rows})
        return labels, probabilities


@cache
def trained() -> Trained:
    """Trained, converted and pushed on the first use, then read from `.build/bench`."""
    folder = BENCH / "model" / _digest()
    found = Trained(folder / "model.onnx", _data()[0], folder / "registry")
    if not (folder / "registry/models" / NAME / "release.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found.path.write_bytes(_converted())
        _push(found)
    return found


def _converted() -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import GradientBoostingClassifier

    rows, labels = _data()
    classifier = GradientBoostingClassifier(n_estimators=TREES, random_state=SEED).fit(rows, labels)
    graph = to_onnx(
        classifier,
        name=NAME,
        initial_types=[(INPUT, FloatTensorType([None, rows.shape[1]]))],
        options={id(classifier): {"zipmap": False}},
        target_opset={"": 21, "ai.onnx.ml": 3},
    )
    return bytes(graph.SerializeToString())


def _push(found: Trained) -> None:
    data = found.path.read_bytes()
    graph = OnnxModel.open(data, threads=1).signature
    spec = ModelSpec(NAME, "classification", "Is the tumour benign?", graph.inputs, graph.outputs)
    registry = Registry(Store.open(found.uri, environ={}))
    actor, why = "benchmark", "to be measured"
    manifest = registry.push(spec, data, signature=graph, actor=actor, why=why, metrics={}, lineage={}, compression={})
    registry.promote(NAME, manifest.version, actor=actor, why=why)


def _data() -> tuple[Array, Array]:
    from sklearn.datasets import load_breast_cancer

    rows, labels = load_breast_cancer(return_X_y=True)
    return rows.astype(np.float32), labels.astype(np.int64)


def _digest() -> str:
    made_by = {name: version(name) for name in MADE_BY}
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps([made_by, source]).encode()).hexdigest()[:16]
