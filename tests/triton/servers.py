"""Real Triton servers on this machine, with SageMaker's front end, for as long as a test needs them.

The front end listens on every interface: it has no option for that.
"""

import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.environments import Environment

INSIDE = Path(__file__).parent / "inside"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
LOOKED_SECONDS = 0.05
BACKEND = 'backend: "onnxruntime"'


class NotStarted(Exception):
    """A server has ended, or does not become ready."""


@dataclass(frozen=True)
class Server:
    """A process that may still be starting; `ready` is the path that says, and its port."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int
    ready: tuple[int, str]

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NotStarted(f"Triton does not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(LOOKED_SECONDS)

    def ask(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> tuple[int, str, bytes]:
        """Status, content type and body of what the container answers."""
        return _asked(self.port, method, path, body, content_type)

    def _is_ready(self) -> bool:
        port, path = self.ready
        try:
            return _asked(port, "GET", path, b"", "")[0] == 200
        except (OSError, HTTPException):
            return False


@contextmanager
def packaged(environment: Environment, package: bytes, name: str, folder: Path) -> Iterator[Server]:
    """What SageMaker does with a model.tar.gz, except that the graph runs in the Python backend: the wheel carries no
    other. All that the package's configuration says stays."""
    repository = unpacked(package, folder)
    configuration = repository / name / "config.pbtxt"
    text = configuration.read_text()
    assert BACKEND in text
    configuration.write_text(text.replace(BACKEND, 'backend: "python"'))
    shutil.copy(INSIDE / "model.py", repository / name / "1")
    port = free_port()
    options = ["--allow-sagemaker=true", f"--sagemaker-port={port}", "--allow-http=false"]
    command = [*_tritonserver(environment, repository, folder), *options]
    with _running(command, _environ(environment, name), folder) as (process, log):
        yield Server(process, log, port, (port, "/ping"))


@contextmanager
def bound(environment: Environment, model: bytes, name: str, most_rows: int, folder: Path) -> Iterator[Server]:
    """A graph behind a function that is bound through pytriton."""
    file = folder / "model.onnx"
    file.write_bytes(model)
    port, http_port = free_port(), free_port()
    arguments = [str(file), name, str(most_rows), str(port), str(http_port), str(folder / "workspace")]
    command = [str(environment.python), str(INSIDE / "bound.py"), *arguments]
    with _running(command, _environ(environment, name), folder) as (process, log):
        yield Server(process, log, port, (http_port, f"/v2/models/{name}/ready"))


def refusal(environment: Environment, package: bytes, folder: Path) -> str:
    """What Triton says of a package that it does not load, as it is."""
    repository = unpacked(package, folder)
    command = [*_tritonserver(environment, repository, folder), "--allow-http=true", f"--http-port={free_port()}"]
    done = subprocess.run(
        [*command, "--http-address=127.0.0.1"],
        env=_environ(environment, ""),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode, "it has loaded it"
    return done.stdout + done.stderr


def unpacked(package: bytes, folder: Path) -> Path:
    """The model repository, as an unpacker that knows nothing of ours makes it."""
    file, repository = folder / "model.tar.gz", folder / "repository"
    file.write_bytes(package)
    with tarfile.open(file) as tar:
        tar.extractall(repository, filter="data")
    return repository


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _tritonserver(environment: Environment, repository: Path, folder: Path) -> list[str]:
    """The Python backend looks for its interpreter's stub beside itself, and the wheel keeps one for each Python."""
    wheel = environment.site_packages / "pytriton/tritonserver"
    backends = folder / "backends"
    shutil.copytree(wheel / "backends", backends)
    shutil.copy(wheel / "python_backend_stubs/3.11/triton_python_backend_stub", backends / "python")
    return [
        str(wheel / "bin/tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        "--allow-grpc=false",
        "--allow-metrics=false",
    ]


def _environ(environment: Environment, default_model: str) -> Mapping[str, str]:
    return {
        "PATH": f"{environment.folder / 'bin'}:/usr/bin:/bin",  # the stub's interpreter is the first python3
        "LD_LIBRARY_PATH": str(environment.site_packages / "nvidia_pytriton.libs"),
        "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": default_model,
        "SAGEMAKER_MULTI_MODEL": "false",
        "ORT_DISABLE_TELEMETRY": "1",
    }


@contextmanager
def _running(
    command: list[str], environ: Mapping[str, str], folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = folder / "server.log"
    with log.open("wb") as lines:
        process = subprocess.Popen(
            command, env=dict(environ), cwd=folder, stdout=lines, stderr=lines, start_new_session=True
        )
    try:
        yield process, log
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """In good order, or its shared memory stays."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _asked(port: int, method: str, path: str, body: bytes, content_type: str) -> tuple[int, str, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": content_type} if content_type else {})
        response = connection.getresponse()
        return response.status, response.headers.get("content-type", ""), response.read()
    finally:
        connection.close()
