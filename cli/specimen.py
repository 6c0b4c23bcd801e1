"""A first spec for a model file: what its graph says of itself, and guesses at what only its maker knows."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import CommandFailed

if TYPE_CHECKING:
    from lastmile.tensors import Signature, TensorSpec

SCIKIT = "options={'zipmap': False}, target_opset=21"
# Files that people train into, and how each becomes ONNX on their own machine.
CONVERTERS = {
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib", ".skops"),
        f"For scikit-learn: skl2onnx.to_onnx(model, rows[:1], {SCIKIT}), and write its SerializeToString() to a file.",
    ),
    **dict.fromkeys(
        (".pt", ".pth", ".safetensors"), "For PyTorch: torch.onnx.export(model, (example,), 'model.onnx')."
    ),
    **dict.fromkeys((".h5", ".keras"), "For Keras: model.export('model.onnx', format='onnx')."),
    **dict.fromkeys(
        (".ubj", ".bst", ".lgb"), "For XGBoost and LightGBM: onnxmltools has convert_xgboost and convert_lightgbm."
    ),
    ".cbm": "For CatBoost: model.save_model('model.onnx', format='onnx').",
}


def check_is_onnx(model: Path) -> None:
    """A file of another framework is named before it is read as what it is not."""
    step = CONVERTERS.get(model.suffix.lower())
    if step is not None:
        raise CommandFailed(f"{model.name} is no ONNX file, and nothing else is taken.", next_step=step)


def missing_spec(model: Path, signature: "Signature") -> CommandFailed:
    return CommandFailed(
        "A model needs a spec, which says what it is.",
        next_step=f"Write this to spec.toml, mend what is guessed, and push again with --spec spec.toml:\n\n"
        f"{spec_of(model, signature)}",
    )


def disagreement(sentence: str, signature: "Signature") -> CommandFailed:
    """The graph and the spec name other tensors: most often it is the spec that has to follow."""
    return CommandFailed(
        sentence,
        next_step=f"Nothing was registered: mend the spec and push again. The file has:\n\n{tensors(signature)}",
    )


def spec_of(model: Path, signature: "Signature") -> str:
    name = re.sub(r"[^a-z0-9]+", "-", model.stem.lower()).strip("-0123456789")[:63] or "model"
    is_classifier = any(tensor.name == "probabilities" for tensor in signature.outputs)
    task = "classification" if is_classifier else "regression"
    head = (f'name = "{name}"', f'task = "{task}"  # or another: anomaly, recommendation, forecast')
    return "\n".join((*head, 'description = "What does it say, and of what?"', "", tensors(signature)))


def tensors(signature: "Signature") -> str:
    parts = [("inputs", tensor) for tensor in signature.inputs] + [("outputs", tensor) for tensor in signature.outputs]
    return "\n".join(_tensor(kind, tensor) for kind, tensor in parts)


def _tensor(kind: str, tensor: "TensorSpec") -> str:
    said = f"[[{kind}]]\nname = {json.dumps(tensor.name)}\ndatatype = {json.dumps(tensor.datatype)}\n"
    return f"{said}shape = {list(tensor.shape)}\n{_columns(tensor.shape) if kind == 'inputs' else ''}"


def _columns(shape: Sequence[int]) -> str:
    """A place for the names of a matrix's columns."""
    if len(shape) != 2 or shape[1] < 2:
        return ""
    return f'# columns = ["first", "second", …]  # all {shape[1]}, where they have names\n'
