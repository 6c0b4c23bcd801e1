"""Whether a file is a model that may be pushed. Needs `onnx`, which only the pushing side has.

Nothing of the file is run, and no path in it is followed out of its folder.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lastmile.errors import InvalidArtefact

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

LIMIT_BYTES = 512 << 20
NEWEST_IR = 13  # what ONNX Runtime 1.31 loads; a test asks the runtime itself
NEWEST_OPSETS = {"": 26, "ai.onnx.ml": 5}
MOST_UNFOLDED = 1_000_000
DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview", "com.microsoft", "com.microsoft.nchwc"}
# These operators open other files or run foreign code.
OUTSIDE = {"EPContext", "PythonOp", "PythonOpGrad", "ATen", "TritonOp", "ExternalGradient"}


def inspect(path: Path, *, limit_bytes: int = LIMIT_BYTES) -> bytes:
    """The model as one self-contained file, with external data from its own folder taken in.

    Raises InvalidArtefact naming what is wrong and where.
    """
    import onnx  # 0.3 s that serving never spends
    from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]

    data = _read(path, limit_bytes)
    try:
        model = onnx.ModelProto.FromString(data)
        if model.ir_version < 1 or not model.HasField("graph"):
            raise InvalidArtefact(f"{path} is not an ONNX file")
        _check_dimensions(model, path)
        _check_versions(model)
        _check_operators(model)
        _check_unfolding(model)
        taken_in = _take_in(model, path.parent, limit_bytes - len(data))
        onnx.checker.check_model(model)
        return model.SerializeToString() if taken_in else data
    except DecodeError:
        raise InvalidArtefact(f"{path} is not an ONNX file") from None
    except UnicodeDecodeError as error:  # of a name in the file: protobuf reads it only when it is used
        raise InvalidArtefact(f"{path} is not a valid ONNX model: a name in it is not UTF-8") from error
    except (onnx.checker.ValidationError, EncodeError) as error:
        raise InvalidArtefact(f"{path} is not a valid ONNX model: {_first_line(error)}") from error


def _read(path: Path, limit: int) -> bytes:
    """The bytes of a regular file, and never more than the limit."""
    try:
        if not path.is_file():
            raise InvalidArtefact(f"{path} is no file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InvalidArtefact(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise InvalidArtefact(f"{path} is over the limit of {limit:,} bytes")
    return data


def _check_dimensions(model: "ModelProto", path: Path) -> None:
    """Of what the runtime tells as text, nothing else looks at the names of dimensions; protobuf gives bytes for what
    is no text."""
    for value in (*model.graph.input, *model.graph.output):
        if any(isinstance(dimension.dim_param, bytes) for dimension in value.type.tensor_type.shape.dim):
            raise InvalidArtefact(
                f"{path} is not a valid ONNX model: a dimension of '{value.name}' has a name that is not UTF-8"
            )


def _check_versions(model: "ModelProto") -> None:
    if model.ir_version > NEWEST_IR:
        raise InvalidArtefact(f"the file format (IR) is {model.ir_version}, the runtime knows up to {NEWEST_IR}")
    declared = {_plain(entry.domain): entry.version for entry in model.opset_import}
    for domain, version in declared.items():
        newest = NEWEST_OPSETS.get(domain)
        if newest is not None and version > newest:
            name = domain or "ai.onnx"
            raise InvalidArtefact(f"opset {version} of {name} is too new: the runtime knows up to {newest}")
    own = {_plain(function.domain) for function in model.functions}
    for where, node in _nodes(model):
        domain = _plain(node.domain)
        if domain not in declared and domain not in own:
            raise InvalidArtefact(f"{where} uses the domain '{domain or 'ai.onnx'}', for which no opset is declared")


def _check_operators(model: "ModelProto") -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for where, node in _nodes(model):
        if (node.domain, node.op_type) in own:
            continue
        if node.domain not in DOMAINS:
            raise InvalidArtefact(f"{where} is of the unknown operator domain '{node.domain}'")
        if node.op_type in OUTSIDE:
            raise InvalidArtefact(f"{where} reaches outside of the model")


def _check_unfolding(model: "ModelProto") -> None:
    """The runtime puts each function where it is called: thirty that call one another twice are a billion operators."""
    bodies = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def unfolded(nodes: "Iterator[tuple[str, NodeProto]]") -> int:
        total = 0
        for _, node in nodes:
            called = (node.domain, node.op_type)
            if called in bodies and called not in sizes:
                sizes[called] = MOST_UNFOLDED + 1  # should it call itself
                sizes[called] = unfolded(_function_nodes(bodies[called]))
            total += sizes.get(called, 1)
        return total

    try:
        total = sum(unfolded(_graph_nodes(graph, "")) for graph in _top_graphs(model))
    except RecursionError:
        total = MOST_UNFOLDED + 1
    if total > MOST_UNFOLDED:
        raise InvalidArtefact(f"the functions of the file unfold into more than {MOST_UNFOLDED:,} operators")


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _nodes(model: "ModelProto") -> "Iterator[tuple[str, NodeProto]]":
    """Every node, in subgraphs, training graphs and functions too, with words for where it is."""
    for graph in _top_graphs(model):
        yield from _graph_nodes(graph, "")
    for function in model.functions:
        yield from _function_nodes(function)


def _function_nodes(function: "FunctionProto") -> "Iterator[tuple[str, NodeProto]]":
    for node in function.node:
        yield from _node_and_inner(node, f" in function '{function.name}'")


def _graph_nodes(graph: "GraphProto", place: str) -> "Iterator[tuple[str, NodeProto]]":
    for node in graph.node:
        yield from _node_and_inner(node, place)


def _node_and_inner(node: "NodeProto", place: str) -> "Iterator[tuple[str, NodeProto]]":
    where = f"operator {node.op_type} (node '{node.name}'){place}"
    yield where, node
    for attribute in node.attribute:
        for graph in _subgraphs(attribute):
            yield from _graph_nodes(graph, f" in subgraph '{attribute.name}' of node '{node.name}'")


def _top_graphs(model: "ModelProto") -> "Iterator[GraphProto]":
    yield model.graph
    for training in model.training_info:
        yield training.initialization
        yield training.algorithm


def _subgraphs(attribute: "AttributeProto") -> "Iterator[GraphProto]":
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _tensors(model: "ModelProto") -> "Iterator[TensorProto]":
    """Every tensor that can point to external data."""
    graphs = [*_top_graphs(model)]
    attributes: list[Any] = [default for function in model.functions for default in function.attribute_proto]
    for _, node in _nodes(model):
        attributes.extend(node.attribute)
    while attributes:
        attribute = attributes.pop()
        graphs.extend(_subgraphs(attribute))
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for sparse in (*attribute.sparse_tensors, attribute.sparse_tensor):
            yield from (sparse.values, sparse.indices)
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)


def _take_in(model: "ModelProto", folder: Path, room: int) -> bool:
    """Put external data into the model itself; whether there was any."""
    taken_in = False
    for tensor in _tensors(model):
        if not tensor.external_data and tensor.data_location != tensor.EXTERNAL:
            continue
        facts = {entry.key: entry.value for entry in tensor.external_data}
        data = _external(tensor.name, facts, folder, room)
        room -= len(data)
        tensor.raw_data = data
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        taken_in = True
    return taken_in


def _external(tensor: str, facts: dict[str, str], folder: Path, room: int) -> bytes:
    location: str | bytes = facts.get("location", "")
    if isinstance(location, bytes):  # what protobuf gives for what is no text
        raise InvalidArtefact(f"external data of tensor '{tensor}' is in a file with a name that is not UTF-8")
    what = f"external data '{location}' of tensor '{tensor}'"
    try:
        offset, length = int(facts.get("offset") or 0), int(facts.get("length") or -1)
    except ValueError:
        raise InvalidArtefact(f"{what} has an offset or length that is no number") from None
    with os.fdopen(_open_inside(folder, location, what), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = size - offset if length == -1 else length
        if offset < 0 or length < 0 or offset + length > size:
            raise InvalidArtefact(f"{what} wants bytes {offset:,} to {offset + length:,}, the file has {size:,}")
        if length > room:
            raise InvalidArtefact(f"{what} takes the model over the limit")
        file.seek(offset)
        return file.read(length)


def _open_inside(folder: Path, location: str, what: str) -> int:
    """A file descriptor of a regular file that is really inside the folder, symbolic links resolved."""
    parts = PurePosixPath(location).parts
    if not parts or location.startswith(("/", "\\")) or ".." in parts or "\\" in location or "\x00" in location:
        raise InvalidArtefact(f"{what} leaves the folder of the model")
    try:
        path = (folder / location).resolve(strict=True)
        if not path.is_relative_to(folder.resolve(strict=True)):
            raise InvalidArtefact(f"{what} leaves the folder of the model by a symbolic link")
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidArtefact(f"{what} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise InvalidArtefact(f"{what} is no regular file")
    return opened


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:500]
