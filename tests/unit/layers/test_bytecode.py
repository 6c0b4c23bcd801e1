import marshal
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest

from layers import bytecode

UNCHECKED_HASH = 0b01  # https://peps.python.org/pep-0552/


def _compiled(source: Path) -> bytes:
    return (source.parent / f"__pycache__/{source.stem}.cpython-313.pyc").read_bytes()


def _compile(folder: Path, *level: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", bytecode.__file__, str(folder), "/opt", *level]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_bytecode_names_the_path_that_lambda_shows(tmp_path: Path) -> None:
    source = tmp_path / "python/module.py"
    source.parent.mkdir()
    source.write_text("answer = 42\n")
    assert _compile(tmp_path).returncode == 0
    code = marshal.loads(_compiled(source)[16:])
    assert isinstance(code, CodeType)
    assert code.co_filename == "/opt/python/module.py"


def test_bytecode_can_do_without_docstrings(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text('"""What it is for."""\nassert False\n')
    sizes = []
    for level in ("0", "2"):
        _compile(tmp_path, level)
        sizes.append(len(_compiled(source)))
    assert b"What it is for" not in _compiled(source)
    assert sizes[1] < sizes[0]


def test_python_never_looks_at_the_source(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("answer = 42\n")
    _compile(tmp_path)
    source.write_text("answer = 43\n")
    assert int.from_bytes(_compiled(source)[4:8], "little") == UNCHECKED_HASH
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import module; print(module.answer)",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "42\n"


def test_the_other_files_do_not_change_the_bytes(tmp_path: Path) -> None:
    """What marshal writes must not depend on the strings and constants of a module compiled before."""
    text = "names = ('alpha', 'beta gamma', 1234567, b'delta', 3.25, {'x', 'y'})\ndef f(x): return x in {'p', 'q'}\n"
    for folder, others in (("alone", {}), ("late", {"a.py": text, "b.py": text.replace("gamma", "epsilon")})):
        (tmp_path / folder).mkdir()
        for name, content in {**others, "module.py": text}.items():
            (tmp_path / folder / name).write_text(content)
        assert _compile(tmp_path / folder).returncode == 0
    assert _compiled(tmp_path / "alone/module.py") == _compiled(tmp_path / "late/module.py")


@pytest.mark.parametrize("text", ["def f(:\n", "x = '\n"])
def test_a_syntax_error_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "module.py").write_text(text)
    done = _compile(tmp_path)
    assert done.returncode == 1
    assert "/opt/module.py" in done.stderr
