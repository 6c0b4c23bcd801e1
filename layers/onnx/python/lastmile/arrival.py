"""A big file on its way into a parser: through a pipe while it arrives, into memory that is taken in large pieces.

Memory that a process touches for the first time is what loading a big model costs most: in 4 KB pages, a microsecond
or two for each, and several times that where the machine itself gets its memory from a host as in Lambda.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Buffer

DESCRIPTORS = Path("/proc/self/fd")
PIPE_BYTES = 1 << 20  # the most that Linux gives without privileges

# https://man7.org/linux/man-pages/man3/mallopt.3.html
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST_BLOCK = 32 << 20  # the most that M_MMAP_THRESHOLD takes, and what it grows to by itself
TRIM_BYTES, TOP_PAD = 64 << 20, 128 << 10
NEVER = 1 << 30
MADV_HUGEPAGE = 14
HUGE_PAGE = 2 << 20


class Feeder:
    """A path under which the pieces can be read once, in order, by whoever reads straight through."""

    def __init__(self, pieces: "Iterator[Buffer]") -> None:
        self._pieces = pieces
        self._error: Exception | None = None
        self._reading, self._writing = os.pipe()
        self._thread = Thread(target=self._feed, name="feeder", daemon=True)
        self.path = DESCRIPTORS / str(self._reading)

    def __enter__(self) -> "Feeder":
        with suppress(ImportError, AttributeError, OSError):
            import fcntl

            fcntl.fcntl(self._writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the last piece, also when nobody reads any more; raises what the pieces raised."""
        os.close(self._reading)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _feed(self) -> None:
        try:
            with os.fdopen(self._writing, "wb", buffering=0) as pipe:
                is_read = True
                for piece in self._pieces:
                    if is_read:
                        is_read = _write(pipe, piece)
        except Exception as error:  # noqa: BLE001 it belongs to whoever waits for the file
            self._error = error


def _write(pipe: Any, piece: "Buffer") -> bool:
    """False when there is no reader any more."""
    left = memoryview(piece)
    try:
        while left:
            left = left[pipe.write(left) :]
    except BrokenPipeError:
        return False
    return True


@contextmanager
def roomy_heap(size: int) -> Iterator[None]:
    """While so many bytes become a graph, freed memory is used again, and the heap grows in huge pages.

    With glibc; elsewhere nothing is done.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    libc.mallopt(M_TOP_PAD, min(2 * size + HUGE_PAGE, NEVER))
    _grow(libc)
    try:
        yield
    finally:
        libc.mallopt(M_TOP_PAD, TOP_PAD)
        libc.mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)
        libc.malloc_trim(0)


def _grow(libc: Any) -> None:
    """Make the heap longer by what M_TOP_PAD says, and ask for that part in huge pages."""
    end = libc.sbrk(0)
    libc.free(libc.malloc(LARGEST_BLOCK - HUGE_PAGE))
    start = -(-end // HUGE_PAGE) * HUGE_PAGE
    length = (libc.sbrk(0) - start) // HUGE_PAGE * HUGE_PAGE
    if length > 0:
        libc.madvise(start, length, MADV_HUGEPAGE)


def _glibc() -> Any:
    import ctypes

    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 only glibc has it
    except (OSError, AttributeError):
        return None
    libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.sbrk.argtypes = [ctypes.c_ssize_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.malloc_trim.argtypes = [ctypes.c_size_t]
    return libc
