"""The heavy side of a push: its graph checked, brought to its precision, certified against what it was, and packed."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cli.errors import CommandFailed

if TYPE_CHECKING:
    from lastmile.model import OnnxModel
    from lastmile.spec import ModelSpec
    from lastmile.tensors import Array, Signature, TensorSpec

CERTIFICATE = "heavy-certificate.json"
MADE_ROWS = 64
FREE_LENGTH = 16
HINT = 'Set precision = "fp32" in [heavy], or a [certificate] with the tolerance that the model may have.'

type Feeds = dict[str, "Array"]


@dataclass(frozen=True, slots=True)
class HeavySide:
    """`package` is the file to keep, `signature` what the graph says, `facts` what the manifest tells of it."""

    package: bytes
    signature: "Signature"
    facts: dict[str, Any]
    certificate: dict[str, Any] | None


def pack(path: Path, spec: "ModelSpec", rows: Path | None) -> HeavySide:
    """Raises InvalidArtefact or CommandFailed, one sentence for the first thing wrong; nothing is written."""
    from cli.trial import try_out
    from lastmile.artefact import inspect
    from lastmile.heavy.making import loadable, package
    from lastmile.heavy.packaging import LIMIT_BYTES
    from lastmile.model import OnnxModel

    assert spec.heavy is not None
    original = loadable(inspect(path, limit_bytes=LIMIT_BYTES), str(path))
    model = OnnxModel.open(original, threads=1)
    signature = spec.signature(model.signature)
    try_out(model, signature)
    adopted, certificate = original, None
    if spec.heavy.precision == "fp16":
        feeds, source = sample(spec, signature, rows)
        adopted, certificate = halved(original, model, spec, feeds, source)
    elif rows is not None:
        raise CommandFailed("--rows certify a change of precision, and this spec's is fp32.", next_step="Leave it out.")
    facts = {"precision": spec.heavy.precision, "bytes": len(adopted), "fp32_bytes": len(original)}
    return HeavySide(package(adopted, spec, model), model.signature, facts, certificate)


def sample(spec: "ModelSpec", signature: "Signature", rows: Path | None) -> tuple[Feeds, str]:
    """Rows to compare on, and where they are from: a file, or made up within what the spec says of its features."""
    from cli.predict import read_text
    from cli.rows import read
    from lastmile.tensors import DATATYPES, array_from_json

    if rows is None:
        random = np.random.default_rng(0)
        return {tensor.name: made_up(tensor, spec, random) for tensor in signature.inputs}, "made up"
    found = read(read_text(str(rows)), signature.inputs)
    if any(row.shapes != found[0].shapes for row in found):
        raise CommandFailed(f"The rows of {rows} differ in length.", next_step="Give rows of one length.")
    feeds = {
        tensor.name: array_from_json(
            [row.inputs[tensor.name] for row in found],
            DATATYPES[tensor.datatype],
            f"input '{tensor.name}'",
            nullable=tensor.nullable,
        )
        for tensor in signature.inputs
    }
    return feeds, rows.name


def made_up(tensor: "TensorSpec", spec: "ModelSpec", random: np.random.Generator) -> "Array":
    from lastmile.tensors import DATATYPES

    shape = [MADE_ROWS, *(FREE_LENGTH if length == -1 else length for length in tensor.shape[1:])]
    kind = DATATYPES[tensor.datatype].dtype.kind
    if kind == "O":
        known = spec.features.get(tensor.name)
        words = (known.categories if known else ()) or tuple(
            f"{a} {b}" for a in ("", "my card", "where is", "Grüße", "12.50 EUR") for b in ("payment", "?", "late", "x")
        )
        return random.choice(np.array(words, dtype=object), shape)
    if kind in "iub":
        return random.integers(0, 2, shape).astype(DATATYPES[tensor.datatype].dtype)
    values = random.standard_normal(shape)
    for place, column in enumerate(tensor.columns):
        known = spec.features.get(column)
        if known and known.minimum is not None and known.maximum is not None:
            values[..., place] = random.uniform(known.minimum, known.maximum, shape[:-1])
    return values.astype(DATATYPES[tensor.datatype].dtype)


def halved(
    original: bytes, model: "OnnxModel", spec: "ModelSpec", feeds: Feeds, source: str
) -> tuple[bytes, dict[str, Any]]:
    """The graph in half floats, with the comparison that says it answers as before; refused where it does not."""
    from cli.precision import answers, half
    from lastmile.agreement import compare
    from lastmile.errors import InvalidArtefact
    from lastmile.model import OnnxModel

    candidate = half(original)
    OnnxModel.open(candidate, threads=1)  # whether it is a graph at all
    names = [tensor.name for tensor in model.signature.outputs]
    before, after = (
        dict(zip(names, found, strict=True))
        for found in (model.run(names, dict(feeds)), answers(original, names, feeds))
    )
    bounds = spec.certificate
    compared = compare("sample", before, after, bounds.tolerance)
    for found in compared:
        if not found.is_within(bounds.max_mismatch_share):
            of = f"row {found.worst}: {found.found} instead of {found.expected}"
            raise InvalidArtefact(
                f"in half floats the heavy model differs in '{found.output}' on {found.beyond} of {found.count} rows "
                f"({source}) by up to {found.largest_difference:.3g}, where {bounds.tolerance:g} is allowed; worst is "
                f"{of}. {HINT}"
            )
    rows = len(next(iter(feeds.values())))
    return candidate, {
        "precision": "fp16",
        "against": "fp32",
        "source": source,
        "rows": rows,
        "tolerance": bounds.tolerance,
        "max_mismatch_share": bounds.max_mismatch_share,
        "compared": [asdict(found) for found in compared],
    }
