"""TLS files that do not belong together, or cannot be used, are named; nobody hears of a port that is taken."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.access.keys import new_key
from service.access.listening import decide
from service.cli.serving import serve_app
from service.config import ConfigError, load
from tests.certificates import Authority
from tests.serving import serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        made = Authority(tmp_path, name).for_localhost()
        made.certificate.rename(tmp_path / f"{name}.crt")
        made.key.rename(tmp_path / f"{name}.key")
    encrypt = ["openssl", "pkey", "-in", "one.key", "-aes256", "-passout", "pass:geheim", "-out", "shut.key"]
    subprocess.run(encrypt, cwd=tmp_path, check=True, capture_output=True)
    for name, kind in (("garbage.crt", "CERTIFICATE"), ("garbage.key", "PRIVATE KEY")):
        (tmp_path / name).write_text(f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n")
    new_key(tmp_path / "keys.txt", "op")
    return tmp_path


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("one.crt", "two.key", "security.tls_key: .*two.key is not the key of .*one.crt"),
        ("one.crt", "shut.key", "security.tls_key: .*shut.key is encrypted"),
        ("one.crt", "garbage.key", "security.tls_key: .*garbage.key holds no key that can be used"),
        ("one.crt", "one.crt", "security.tls_key: .*one.crt holds no key that can be used"),
        ("garbage.crt", "one.key", "security.tls_certificate: .*garbage.crt holds no certificate"),
        ("one.key", "one.crt", "security.tls_certificate: .*one.key holds no certificate"),
    ],
)
def test_files_that_cannot_be_used_are_named(folder: Path, certificate: str, key: str, said: str) -> None:
    files = {
        "tls_certificate": folder / certificate,
        "tls_key": folder / key,
        "api_keys_file": folder / "keys.txt",
    }
    with pytest.raises(ConfigError, match=said):
        decide(load(None, {"security": files}))
    with pytest.raises(ConfigError, match=said), serving(folder / "data", security=files):
        pass
    config = folder / "interleaf.toml"
    config.write_text("[security]\n" + "".join(f"{name} = '{path}'\n" for name, path in files.items()))
    words = ["doctor", "--json", "--engine", "none", "--data-dir", str(folder), "--config", str(config)]
    report = json.loads(CliRunner().invoke(serve_app, words).stdout)
    assert [entry["ok"] for entry in report["findings"] if entry["name"] == "access"] == [False]


def test_a_weak_key_still_fits_its_certificate(folder: Path) -> None:
    make = "openssl req -x509 -newkey rsa:1024 -nodes -days 2 -subj /CN=localhost -keyout small.key -out small.crt"
    subprocess.run(make.split(), cwd=folder, check=True, capture_output=True)
    files = {"tls_certificate": folder / "small.crt", "tls_key": folder / "small.key"}
    files["api_keys_file"] = folder / "keys.txt"
    assert decide(load(None, {"security": files})).credentials is not None
