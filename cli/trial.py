"""A run of a model before it is pushed: does it answer at all, and as its signature says?"""

from lastmile.errors import InvalidArtefact, InvalidInput, ModelFailed
from lastmile.heavy.making import zeros
from lastmile.model import OnnxModel
from lastmile.tensors import Array, Signature, TensorSpec, check_fits

BATCHES = (1, 2)


def try_out(model: OnnxModel, signature: Signature) -> None:
    """Run rows of zeros and empty texts, one and then two; raises InvalidArtefact when an answer does not fit.

    A model with more axes of free length than the batch may refuse the lengths tried here and still be sound, so its
    failure to run is no reason to refuse it.
    """
    names = [spec.name for spec in signature.outputs]
    for rows in BATCHES:
        try:
            answers = model.try_run(names, {spec.name: zeros(spec, rows) for spec in signature.inputs})
        except (ModelFailed, InvalidInput) as error:
            if any(-1 in spec.shape[1:] for spec in signature.inputs):
                return
            raise InvalidArtefact(f"the model cannot run on a batch of {rows} (zeros): {error}") from error
        for spec, answer in zip(signature.outputs, answers, strict=True):
            check_answer(spec, answer, rows)


def check_answer(spec: TensorSpec, answer: Array, rows: int) -> None:
    """The datatype is the graph's and checked when it is opened; shapes may be open there and are seen only now."""
    name = f"output '{spec.name}'"
    try:
        check_fits(spec, answer, name)
    except InvalidInput as error:
        raise InvalidArtefact(f"{error}, as the spec has it") from error
    if spec.shape[:1] == (-1,) and len(answer) != rows:
        raise InvalidArtefact(f"{name} has {len(answer)} rows for a batch of {rows}")
