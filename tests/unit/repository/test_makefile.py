"""What `make` is asked for is done, although a file or folder has the target's name."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
# Stamps are files; and of what is phony `make` looks for no rule of a pattern, such as bench-%.
TARGETS = set(re.findall(r"^(?!bench-)([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))


def test_every_target_that_makes_no_file_is_phony() -> None:
    declared = re.findall(r"^\.PHONY:((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)
    phony = {name for names in declared for name in names.replace("\\", " ").split()}
    assert {"help", "test", "small-model", "soak"} <= TARGETS
    assert phony == TARGETS


def test_a_training_that_was_interrupted_is_gone_on_with(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for path in ("requirements", "small-model/run", ".venv"):
        (tmp_path / path).mkdir(parents=True)
    for path in ("server", "dev", "models", "postgres-test"):
        (tmp_path / "requirements" / f"{path}.txt").touch()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".venv" / ".ready").touch()
    (tmp_path / "small-model").touch()  # newer than what it is made from
    told = subprocess.run(
        ["make", "-n", "small-model"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "scripts.small_model" in told.stdout
