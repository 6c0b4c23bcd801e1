import io
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from functions.retraining.card import Facts, card
from functions.retraining.data import validate as validate_data
from functions.retraining.evaluation import Champion, Evaluation, evaluate
from functions.retraining.gates import check_gates
from functions.retraining.recipes.contract import Examples
from lastmile.spec import ModelSpec, validate
from lastmile.tensors import Signature
from tests.unit.retraining.data.files import ROWS, csv, spec, validation
from tests.unit.retraining.graphs import linear, logistic

CLASSES = [
    {"name": "label", "datatype": "INT64", "shape": [-1]},
    {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "columns": ["0", "1"]},
]
VALUE = [{"name": "value", "datatype": "FP32", "shape": [-1]}]


def loans(task: str = "classification", **parts: Any) -> ModelSpec:
    return validate(
        {
            "name": "loans",
            "task": task,
            "description": "Will it be paid <back>?",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2], "columns": ["income", "debt"]}],
            "outputs": CLASSES if task == "classification" else VALUE,
            "features": {"sex": {"sensitive": True}},
            "training": {"recipe": "tabular", "target": "y", "options": {"rounds": 7}},
            **parts,
        }
    )


def evaluated(model: ModelSpec, *, champion: bool = True) -> Evaluation:
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 2)).astype(np.float32)
    score = x[:, 0] - x[:, 1] + random.normal(size=500)
    classifies = model.task == "classification"
    truth = {"label": (score > 0).astype(int)} if classifies else {"value": score}
    held_out = Examples({"x": x}, truth, {"sex": np.array(["f", "m"] * 240 + ["x"] * 20, object)})
    make = logistic if classifies else linear
    old = Champion(3, make([1, 0]), Signature(model.inputs, model.outputs)) if champion else None
    return evaluate(make([1, -1]), held_out, held_out, model.task, model, champion=old)


def made(model: ModelSpec, **facts: Any) -> tuple[str, str]:
    evaluation = facts.pop("evaluation", None) or evaluated(model)
    outcomes = [gate.to_document() for gate in check_gates(model.gates, evaluation)]
    return card(Facts(model, evaluation, outcomes, **facts))


def well_formed(page: str) -> None:
    """As XML, once the few things that HTML alone allows are taken out."""
    body = page.removeprefix("<!doctype html>\n").replace("&middot;", "·")
    body = re.sub(r"<(meta|br)([^>]*)>", r"<\1\2/>", body)
    ElementTree.fromstring(body)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_card_is_markdown_and_one_page_that_needs_nothing_else(task: str) -> None:
    markdown, page = made(loans(task), version=4)
    assert markdown.startswith("# loans, version 4: model card\n\nWill it be paid <back>?\n")
    assert "Will it be paid &lt;back&gt;?" in page
    assert "http" not in page
    assert "nan" not in page.lower().replace("finance", "")
    well_formed(page)


def test_the_same_facts_give_the_same_bytes() -> None:
    assert made(loans()) == made(loans())


def test_the_verdict_is_about_the_gates() -> None:
    lax = {"metric": "auc", "at_least": 0.1}
    strict = {"metric": "auc", "at_least": 0.99}
    assert "**All 1 gates passed.** auc 0." in made(loans(gates=[lax]))[0]
    failed, page = made(loans(gates=[lax, strict]))
    assert "**1 of 2 gates failed.**" in failed
    assert '<div class="verdict bad">' in page
    assert '<div class="verdict plain"><b>No gates</b>' in made(loans())[1]


def test_every_metric_has_its_interval_its_training_value_and_the_champions() -> None:
    markdown, _ = made(loans())
    (row,) = re.findall(r"^\| auc.*$", markdown, re.MULTILINE)
    assert re.fullmatch(r"\| auc\W↑ \| 0\.\d+ \(0\.\d+ to 0\.\d+\) \| 0\.\d+ \| 0\.\d+ \| 0\.\d+ \(.* to .*\) \|", row)
    assert "| metric | held-out rows | training rows | version 3 | difference |" in markdown


def test_a_champion_that_cannot_be_compared_is_named_with_the_reason() -> None:
    other = Champion(3, b"", Signature((), ()))
    model = loans()
    evaluation = evaluate(
        logistic([1, -1]),
        Examples({"x": np.ones((40, 2), np.float32)}, {"label": np.arange(40) % 2}, {}),
        Examples({"x": np.ones((40, 2), np.float32)}, {"label": np.arange(40) % 2}, {}),
        "classification",
        model,
        champion=other,
    )
    assert "Version 3 serves now and cannot be compared: its inputs are" in made(model, evaluation=evaluation)[0]


def test_groups_are_tables_and_small_ones_say_so() -> None:
    markdown, page = made(loans())
    assert "## Groups of sex" in markdown
    assert "Largest difference between two groups: accuracy " in markdown
    assert "| x | 20 | fewer than 30 rows |" in markdown
    assert "fewer than 30 rows" in page


def test_the_plots_are_those_of_the_task() -> None:
    assert [title in made(loans())[1] for title in ("ROC", "Calibration", "Confusion", "Errors")] == [True] * 3 + [
        False
    ]
    regression = made(loans("regression"))[1]
    assert [title in regression for title in ("ROC", "Predicted and true", "Errors")] == [False, True, True]


def test_what_is_not_known_is_left_out() -> None:
    markdown, page = made(loans(), evaluation=evaluated(loans(), champion=False))
    for title in ("Data", "Compression", "Certificate", "Lineage", "Gates"):
        assert f"## {title}" not in markdown
        assert f"<h2>{title}</h2>" not in page


def test_data_compression_certificate_training_and_lineage_are_told() -> None:
    markdown, page = made(
        loans(),
        data=validation(csv(), spec()).report.to_document(),
        compression={
            "kind": "int8-dynamic",
            "candidates": [
                {"name": "fp32", "bytes": 123456, "seconds": 0.00042, "adopted": False},
                {"name": "int8-dynamic", "bytes": 4321, "adopted": True},
            ],
        },
        certificate={
            "rows": 100,
            "tolerance": 0.0001,
            "compared": (
                {"rows": "held-out", "output": "label", "count": 100, "largest_difference": 1.5e-7, "expected": ""},
            ),
        },
        lineage={"run": "r1", "data": {"key": "training/loans/a|b.csv", "rows": 100}, "parent": None},
    )
    for line in (
        "march.csv: all 100 rows can be used. CSV separated by commas, UTF-8.",
        "| amount | feature | number | 0 | 7 |",
        "Adopted: int8-dynamic.",
        "| name | bytes | ms for one row | adopted | why not |",
        "| fp32 | 123,456 | 0.42 | no | what the others are compared with |",
        "| int8-dynamic | 4,321 | – | yes |  |",
        "| tolerance | 0.0001 |",
        "| held-out | label | 100 | 1.5e-07 |",
        "| options.rounds | 7 |",
        r"| data.key | training/loans/a\|b.csv |",
    ):
        assert line in markdown
    well_formed(page)
    assert page.count("<svg") > 10
    assert '<td class="long">' in page  # words on a phone: a line and not a stack
    assert page.count('<div class="wide" tabindex="0" role="region" aria-label="Table: ') == page.count("<table")
    assert "<th></th>" not in page


def test_confusions_of_many_classes_are_listed() -> None:
    curves = {"confusions": [{"true": "team 1", "predicted": "team 2", "rows": 3}]}
    evaluation = replace(evaluated(loans()), curves=curves)
    assert "| team 1 | team 2 | 3 |" in made(loans(), evaluation=evaluation)[0]


def test_what_comes_from_the_data_is_no_markup_in_the_markdown() -> None:
    rows = [(amount, "<img src=x>" if row % 2 else "[a](b)|c`", label) for row, (amount, _, label) in enumerate(ROWS)]
    model = spec(features={})
    found = validate_data(io.BytesIO(csv(rows)), "<script>|.csv", model)
    (markdown, _) = made(loans(), data=found.report.to_document())
    assert "&lt;script>\\|.csv: all 100 rows can be used." in markdown
    assert "<" not in markdown.replace("Will it be paid <back>?", "")
