"""The image as its file describes it: what it copies is there, it runs as nobody, it can tell how it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from typer.main import get_command

from scripts.supply.locks import LOCKS
from service.cli.serving import serve_app
from service.config import Settings
from tests.deployment.dockerfile import ROOT, command, read

ARGUMENTS, STAGES = read()
BUILD, IMAGE = STAGES
EXACT = re.compile(r"[\w./-]+:v?\d+(\.\d+)+[\w.-]*(@sha256:[0-9a-f]{64})?")


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([program, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    """Power check: an unpinned base, root, and packages without versions."""
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN pip install torch\nUSER root\n")
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([program, tmp_path / "Dockerfile"], capture_output=True, text=True, check=False)
    assert {"DL3007", "DL3013", "DL3002"} <= set(re.findall(r"DL\d+", done.stdout))


def test_the_base_is_one_exact_version_that_a_digest_can_replace() -> None:
    assert len(STAGES) == 2
    assert BUILD.base == IMAGE.base == ARGUMENTS["PYTHON_IMAGE"]
    assert EXACT.fullmatch(ARGUMENTS["PYTHON_IMAGE"])
    documented = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert f"{ARGUMENTS['PYTHON_IMAGE']}@sha256:" in documented


def test_everything_that_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:].rstrip("/") for line in ignored if line.startswith("!")}
    copied = set()
    for said in BUILD.of("COPY"):
        *sources, _ = said.split()
        copied |= {source.rstrip("/") for source in sources}
    assert all((ROOT / source).exists() for source in copied)
    assert ignored[1] == "*"
    assert copied == kept
    packages = re.search(r"include = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert packages is not None
    assert {name.strip(' "*') for name in packages[1].split(",")} <= copied


def test_only_what_is_locked_with_hashes_is_installed() -> None:
    locks = {lock.name for lock in LOCKS}
    default = next(said.partition("=")[2] for said in BUILD.of("ARG") if said.startswith("LOCK="))
    assert default in locks
    installs = [part for said in BUILD.of("RUN") for part in re.split(r"&&|;", said) if "pip install" in part]
    assert installs
    for install in installs:
        assert "--no-deps" in install
        if "-r " in install:
            assert "--require-hashes" in install
            name = install.rpartition("requirements/")[2].strip().strip('"').replace("$LOCK", default)
            assert (ROOT / "requirements" / name).is_file()
        else:  # PyTorch's builds for CPUs, at the version that is pinned; and this project itself
            pinned = re.search(
                r"^torch==\S+", (ROOT / "requirements" / "server.txt").read_text(), re.MULTILINE
            )
            assert pinned is not None
            assert pinned[0] in install or install.strip().endswith(" .")


def test_nobody_special_runs_it_and_the_root_may_be_read_only() -> None:
    user, _, group = IMAGE.of("USER")[-1].partition(":")
    assert int(user) >= 10_000  # numeric, so that Kubernetes can see that it is not root
    assert int(group) >= 10_000
    environment = IMAGE.environment()
    assert IMAGE.of("VOLUME") == [environment["INTERLEAF_STORE__DATA_DIR"]]
    assert environment["HOME"] == "/tmp"  # noqa: S108 - a volume in memory, of the container's own
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert "--chown" not in " ".join(IMAGE.of("COPY"))  # it cannot change its own code


def test_ports_and_settings_are_those_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in IMAGE.environment().items():
        if name.startswith("INTERLEAF_"):
            monkeypatch.setenv(name, value)
    settings = Settings()
    listen = settings.listen
    assert str(settings.store.data_dir) == "/data"
    assert listen.health_plain
    ports = {listen.port, settings.http.port_beside(listen.port), listen.health_port}
    assert {int(port) for port in IMAGE.of("EXPOSE")[0].split()} == ports


def test_it_starts_stops_and_is_asked_by_commands_that_exist() -> None:
    known = set(get_command(serve_app).commands)  # type: ignore[attr-defined]
    program, name = command(IMAGE.of("ENTRYPOINT")[0])
    assert (program, name in known) == ("interleaf", True)
    options, _, probe = IMAGE.of("HEALTHCHECK")[0].partition(" CMD ")
    program, name = command(probe)
    assert (program, name in known) == ("interleaf", True)
    assert "--start-period=" in options
    assert IMAGE.of("STOPSIGNAL") == ["SIGTERM"]


def test_make_builds_both_images() -> None:
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    for lock in re.findall(r"--build-arg LOCK=(\w+)", made):
        assert lock in {one.name for one in LOCKS}
    declared = {said.partition("=")[0] for stage in STAGES for said in stage.of("ARG")} | set(ARGUMENTS)
    given = set(re.findall(r'--build-arg "?(\w+)=', made + (ROOT / "Dockerfile").read_text(encoding="utf-8")))
    assert given <= declared
    assert {"LOCK", "RUNTIME_PACKAGES"} <= given


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_docker_reads_it() -> None:
    """Only where a daemon answers and buildx is there."""
    asked = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    if asked.returncode or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no docker daemon, or no buildx")
    done = subprocess.run(
        ["docker", "build", "--check", "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_secrets_stay_out_of_the_image_and_of_git() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert any(fnmatch("/ops/secrets/", pattern) for pattern in ignored)
    named = " ".join(said for stage in STAGES for _, said in stage.steps)
    assert not re.search(r"password|token|secret|api_key", named, re.IGNORECASE)
