"""Rules for the source that ruff and mypy do not check: size, layers, nothing that runs what it loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PRODUCT = ("interleaf", "service", "kb_store", "engines", "editors", "circuits", "bench", "scripts")
GENERATED = ROOT / "interleaf" / "v1"
MAX_LINES = 400

# Loading with any of these runs code that the file carries.
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"torch.load", "eval", "exec", "yaml.load", "yaml.unsafe_load"}
UNSAFE_OPTIONS = {"trust_remote_code", "allow_pickle"}


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if GENERATED not in path.parents:
                yield path


@cache
def trees() -> dict[str, ast.Module]:
    """Every product file, parsed once."""
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in sources(*PRODUCT)
    }


def dotted(node: ast.expr) -> str:
    """`torch.load` for the callee of torch.load(...)."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def unsafe(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that may run what it loads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in UNSAFE_MODULES:
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.partition(".")[0] in UNSAFE_MODULES:
                yield node.lineno, module
            for alias in node.names:
                if f"{module}.{alias.name}" in UNSAFE_CALLS:
                    yield node.lineno, f"{module}.{alias.name}"
        elif isinstance(node, ast.Call):
            if dotted(node.func) in UNSAFE_CALLS:
                yield node.lineno, dotted(node.func)
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg in UNSAFE_OPTIONS and not off:
                    yield node.lineno, keyword.arg


def test_no_file_is_too_long() -> None:
    lengths = {
        path.relative_to(ROOT): path.read_text(encoding="utf-8").count("\n")
        for path in sources(*PRODUCT, "tests")
    }
    assert len(lengths) > 50
    assert {str(path): length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_nothing_runs_what_it_loads() -> None:
    found = [f"{path}:{line}: {name}" for path, tree in trees().items() for line, name in unsafe(tree)]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "from torch import load",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=flag)",
        "exec(text)",
    ],
)
def test_the_rule_sees_what_it_forbids(code: str) -> None:
    assert list(unsafe(ast.parse(code)))


def test_the_rule_lets_pass_what_is_harmless() -> None:
    code = "np.load(path, allow_pickle=False); json.load(file); safetensors.torch.load_file(path)"
    assert list(unsafe(ast.parse(code))) == []


def test_asserts_check_tests_only() -> None:
    """They are gone under `python -O`, so nothing may rest on them."""
    found = [
        f"{path}:{node.lineno}"
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]
    assert found == []


def test_layers_hold() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_shipped() -> None:
    """A folder with modules but without __init__.py would be missing from a wheel."""
    folders = {
        path.parent for path in sources("interleaf", "service", "kb_store", "engines", "editors", "circuits")
    }
    assert (
        sorted(str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists())
        == []
    )


def test_no_two_test_files_of_folders_without_packages_have_one_name() -> None:
    """pytest imports them by their names alone: the second cannot be collected, in a whole run only."""
    loose = [path for path in sources("tests") if not (path.parent / "__init__.py").exists()]
    names = [path.name for path in loose if path.name.startswith("test_")]
    assert sorted(set(names)) == sorted(names)
