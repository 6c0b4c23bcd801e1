import numpy as np

from functions.retraining.data import Column, of_spec
from tests.unit.retraining.data.files import spec

FP32 = 3.4028234663852886e38


def test_the_columns_are_the_features_the_target_the_time_and_the_sensitive_ones() -> None:
    model = spec(
        inputs=[
            {"name": "x", "datatype": "FP32", "shape": [-1, 2], "columns": ["age", "debt"], "nullable": True},
            {"name": "visits", "datatype": "UINT8", "shape": [-1]},
            {"name": "note", "datatype": "BYTES", "shape": [-1], "pii": "mask"},
            {"name": "vip", "datatype": "BOOL", "shape": [-1]},
        ],
        features={
            "age": {"minimum": 18, "maximum": 120, "sensitive": True},
            "sex": {"sensitive": True, "categories": ["f", "m"]},
            "income": {"sensitive": True, "minimum": 0},
        },
        training={"recipe": "tabular", "target": "label", "time": "at"},
    )
    assert of_spec(model) == (
        Column("age", "number", nullable=True, minimum=18, maximum=120),
        Column("debt", "number", nullable=True, minimum=-FP32, maximum=FP32),
        Column("visits", "integer", minimum=0, maximum=255),
        Column("note", "text", nullable=True, pii=True),
        Column("vip", "integer", minimum=0, maximum=1),
        Column("label", "integer", "target", categories=("0", "1")),
        Column("at", "time", "time"),
        Column("sex", "text", "group", nullable=True, categories=("f", "m")),
        Column("income", "number", "group", nullable=True, minimum=0),
    )


def test_a_target_is_what_the_task_learns() -> None:
    value = [{"name": "value", "datatype": "FP32", "shape": [-1]}]
    regression = spec(task="regression", outputs=value, training={"recipe": "tabular", "target": "price"})
    largest = float(np.finfo(np.float32).max)
    assert of_spec(regression)[-1] == Column("price", "number", "target", minimum=-largest, maximum=largest)
    score = [{"name": "score", "datatype": "FP32", "shape": [-1]}]
    anomaly = spec(task="anomaly", outputs=score, training={"recipe": "anomaly", "target": "broken"})
    assert of_spec(anomaly)[-1] == Column("broken", "integer", "target", categories=("0", "1"))
    teams = [{"name": "label", "datatype": "BYTES", "shape": [-1]}]
    assert of_spec(spec(outputs=teams))[-1] == Column("label", "text", "target")
