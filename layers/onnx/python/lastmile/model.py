"""A model in memory: one ONNX Runtime session. The one file that imports onnxruntime."""

import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when onnxruntime is imported

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from lastmile.arrival import DESCRIPTORS, Feeder, roomy_heap
from lastmile.errors import InvalidArtefact, InvalidInput, LastmileError, ModelFailed
from lastmile.tensors import BY_ONNX, DATATYPES, Array, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Buffer, Iterator

MEMORY_PER_CORE_MB = 1769  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html

WORTH_A_THREAD = 0.6  # a part of a core from 0.4 on is worth a thread of its own
SMALL_BYTES = 4 << 20
SHORT_SECONDS = 50e-6  # runs this short are slower with several threads, which have to be woken up
LONG_SECONDS = 5e-3
RUNS_TO_BE_SURE = 4  # the first has memory to allocate
TRIAL_SECONDS = 120.0  # several times what any caller would wait for a row
ARRIVING_BYTES = 8 << 20  # from here on it pays to parse what is there while the rest arrives

ort.set_default_logger_severity(3)


def threads_for(memory_mb: int | None) -> int:
    """How many threads a session gets: Lambda pays out one core per 1,769 MB, whatever number it shows.

    Without a memory size (a server, a laptop) it is the number of cores.
    """
    cores = os.cpu_count() or 1
    if memory_mb is None:
        return cores
    return max(1, min(cores, int(memory_mb / MEMORY_PER_CORE_MB + WORTH_A_THREAD)))


class OnnxModel:
    """A loaded graph; `run` may be called from several threads at once."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        try:
            self.signature = Signature(
                inputs=tuple(_tensor_spec(node, "input") for node in session.get_inputs()),
                outputs=tuple(_tensor_spec(node, "output") for node in session.get_outputs()),
            )
        except UnicodeDecodeError as error:
            raise InvalidArtefact("the name of an input or output of the model is not UTF-8") from error
        self._text_inputs = tuple(spec.name for spec in self.signature.inputs if spec.datatype == "BYTES")
        self._all_outputs = [spec.name for spec in self.signature.outputs]
        # What `InferenceSession.run` calls once it has checked, in 2 µs, what is checked before here.
        self._run = getattr(session, "_sess", session).run

    @classmethod
    def open(cls, data: bytes | Path, *, threads: int, spinning: bool = False) -> "OnnxModel":
        """Load from memory or from a file; raises InvalidArtefact when ONNX Runtime refuses it.

        A small model whose runs are short gets one thread whatever `threads` says. With `spinning`, threads wait
        busily for the next operation: faster where nobody else wants the cores, as in a Lambda function.
        """
        if threads > 1 and _size(data) <= SMALL_BYTES:
            model = cls(_session(data, 1, spinning=False))
            if model._is_short():
                return model
        return cls(_session(data, threads, spinning=spinning))

    @classmethod
    def receive(cls, pieces: "Iterator[Buffer]", size: int, *, threads: int, spinning: bool = False) -> "OnnxModel":
        """Load a file of that size that is still arriving; what `pieces` raises goes before what it leads to.

        A big one is parsed while it arrives, and is never in memory as a whole beside the graph made of it.
        """
        if size < ARRIVING_BYTES or not DESCRIPTORS.is_dir():
            return cls.open(b"".join(pieces), threads=threads, spinning=spinning)
        with roomy_heap(size), Feeder(pieces) as feeder:
            return cls(_session(feeder.path, threads, spinning=spinning))

    def run(
        self, outputs: list[str] | None, feeds: dict[str, Array], limits: ort.RunOptions | None = None
    ) -> list[Array]:
        """One call of the graph; `outputs` None means all, in the order of the signature."""
        for name in self._text_inputs:
            _check_texts(name, feeds[name])
        try:
            return self._run(outputs or self._all_outputs, feeds, limits)  # type: ignore[no-any-return]
        except InvalidArgument as error:
            raise InvalidInput(f"the model refuses this input: {_first_line(error)}") from error
        except Exception as error:  # its exception classes share no base but Exception
            raise ModelFailed(f"the model failed: {_first_line(error)}") from error

    def try_run(
        self, outputs: list[str] | None, feeds: dict[str, Array], *, seconds: float = TRIAL_SECONDS
    ) -> list[Array]:
        """`run` of a graph that nobody knows yet: ModelFailed too where it comes to no end, for a graph may loop."""
        limits = ort.RunOptions()
        timer = Timer(seconds, setattr, (limits, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            return self.run(outputs, feeds, limits)
        except ModelFailed as error:
            if limits.terminate:
                raise ModelFailed(f"the model has come to no end within {seconds:g} seconds") from error
            raise
        finally:
            timer.cancel()

    def warm(self) -> None:
        """Run once on zeros (one row, empty strings), so that the first real call finds its memory allocated.

        A model that cannot run on zeros is left cold: only real input can say whether it is faulty.
        """
        with suppress(LastmileError):
            self.run(None, {spec.name: _zeros(spec) for spec in self.signature.inputs})

    def _is_short(self) -> bool:
        """Whether a run on zeros is, where that says something: not of texts, nor of shapes that are open."""
        if any(spec.datatype == "BYTES" or -1 in spec.shape[1:] for spec in self.signature.inputs):
            return False
        feeds = {spec.name: _zeros(spec) for spec in self.signature.inputs}
        took = 0.0
        try:
            for _ in range(RUNS_TO_BE_SURE):
                started = time.perf_counter()
                self.run(None, feeds)
                took = time.perf_counter() - started
                if not SHORT_SECONDS < took < LONG_SECONDS:
                    break
        except LastmileError:
            return False
        return took <= SHORT_SECONDS

    def check(self, signature: Signature) -> None:
        """Raise InvalidArtefact unless the graph has the tensors that the signature promises."""
        for kind, promised, actual in (
            ("input", signature.inputs, self.signature.inputs),
            ("output", signature.outputs, self.signature.outputs),
        ):
            _check_same_tensors(kind, promised, actual)


def _session(data: bytes | Path, threads: int, *, spinning: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    try:
        return ort.InferenceSession(
            data if isinstance(data, bytes) else str(data), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exception classes share no base but Exception
        raise InvalidArtefact(f"ONNX Runtime cannot load the model: {_first_line(error)}") from error


def _size(data: bytes | Path) -> int:
    return len(data) if isinstance(data, bytes) else data.stat().st_size


def _tensor_spec(node: ort.NodeArg, kind: str) -> TensorSpec:
    datatype = BY_ONNX.get(node.type)
    if datatype is None:
        hint = " (convert classifiers with zipmap off)" if node.type.startswith("seq(map") else ""
        raise InvalidArtefact(f"{kind} '{node.name}' is {node.type}, which no protocol can carry{hint}")
    return TensorSpec(node.name, datatype, tuple(n if isinstance(n, int) else -1 for n in node.shape))


def _zeros(spec: TensorSpec) -> Array:
    shape = [1 if length == -1 else length for length in spec.shape]
    if spec.datatype == "BYTES":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=DATATYPES[spec.datatype].dtype)


def _check_same_tensors(kind: str, promised: tuple[TensorSpec, ...], actual: tuple[TensorSpec, ...]) -> None:
    by_name = {spec.name: spec for spec in actual}
    if {spec.name for spec in promised} != set(by_name):
        raise InvalidArtefact(
            f"the model's {kind}s are {', '.join(sorted(by_name))}; "
            f"the signature says {', '.join(sorted(spec.name for spec in promised))}"
        )
    for spec in promised:
        found = by_name[spec.name]
        if found.datatype != spec.datatype:
            raise InvalidArtefact(f"{kind} '{spec.name}' is {found.datatype}; the signature says {spec.datatype}")
        # A graph may leave the shape of an output open altogether: it then reads as ().
        if found.shape and (
            len(found.shape) != len(spec.shape)
            or any(-1 not in pair and pair[0] != pair[1] for pair in zip(found.shape, spec.shape, strict=True))
        ):
            raise InvalidArtefact(
                f"{kind} '{spec.name}' has shape {list(found.shape)}; the signature says {list(spec.shape)}"
            )


def _check_texts(name: str, array: Array) -> None:
    if array.dtype.kind != "O":
        return
    for index, element in enumerate(array.reshape(-1).tolist()):
        if type(element) is not str:
            raise InvalidInput(f"input '{name}': element {index} is not UTF-8, as an ONNX string must be")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:500]
