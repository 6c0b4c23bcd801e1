import os
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from lastmile.arrival import DESCRIPTORS, Feeder
from lastmile.errors import InvalidArtefact, StoreUnavailable
from lastmile.model import ARRIVING_BYTES, OnnxModel

PIECE = 1 << 20


@pytest.fixture(scope="session")
def big(linear: Callable[..., bytes]) -> bytes:
    """A graph of 9 MB: y = x W + 1 with x FP32 [-1, 1500]."""
    data = linear(1e-6, inputs=1500, outputs=1500)
    assert len(data) > ARRIVING_BYTES
    return data


def pieces(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), PIECE):
        yield data[at : at + PIECE]


def test_the_pieces_are_read_under_one_path() -> None:
    data = os.urandom(3 * PIECE + 5)
    with Feeder(pieces(data)) as feeder:
        assert feeder.path.read_bytes() == data


def test_what_nobody_reads_is_fetched_all_the_same() -> None:
    seen = []

    def counted() -> Iterator[bytes]:
        for piece in pieces(bytes(9 * PIECE)):
            seen.append(len(piece))
            yield piece

    with Feeder(counted()) as feeder:
        assert feeder.path.exists()
    assert sum(seen) == 9 * PIECE


def test_no_descriptor_and_no_thread_is_left() -> None:
    before = len(list(DESCRIPTORS.iterdir())), threading.active_count()
    for read in (True, False):
        with Feeder(pieces(bytes(5 * PIECE))) as feeder:
            if read:
                feeder.path.read_bytes()
    assert (len(list(DESCRIPTORS.iterdir())), threading.active_count()) == before


def test_a_model_that_arrives_answers_as_one_that_is_there(big: bytes) -> None:
    feeds = {"x": np.random.default_rng(0).random((3, 1500), dtype=np.float32)}
    arrived = OnnxModel.receive(pieces(big), len(big), threads=1)
    there = OnnxModel.open(big, threads=1)
    assert arrived.signature == there.signature
    np.testing.assert_array_equal(arrived.run(None, feeds)[0], there.run(None, feeds)[0])


def test_what_the_pieces_raise_goes_before_what_it_leads_to(big: bytes) -> None:
    def cut_short() -> Iterator[bytes]:
        yield from pieces(big[: 5 * PIECE])
        raise StoreUnavailable("the store is gone")

    with pytest.raises(StoreUnavailable, match="gone"):
        OnnxModel.receive(cut_short(), len(big), threads=1)


def test_a_whole_graph_is_refused_when_the_pieces_say_it_is_another(big: bytes) -> None:
    def wrong() -> Iterator[bytes]:
        yield from pieces(big)
        raise InvalidArtefact("its sha256 is another")

    with pytest.raises(InvalidArtefact, match="sha256"):
        OnnxModel.receive(wrong(), len(big), threads=1)


def test_what_is_no_model_is_refused_however_big_it_is() -> None:
    data = b"no model at all " * (ARRIVING_BYTES >> 4)
    with pytest.raises(InvalidArtefact, match="cannot load"):
        OnnxModel.receive(pieces(data), len(data), threads=1)
