"""python -m kb_store.factbank: lists the relations of the built-in fact bank, or writes its facts as a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kb_store.factbank import load_facts, read_pairs, relations
from kb_store.formats import FileFormat, writer


def main() -> int:
    """Facts go to standard output."""
    parser = argparse.ArgumentParser(prog="python -m kb_store.factbank", description=__doc__)
    parser.add_argument("--list", action="store_true", help="list the relations instead of facts")
    parser.add_argument("--relations", nargs="+", metavar="R", help="only these (ids or names)")
    parser.add_argument("--limit", type=int, metavar="N", help="at most this many facts")
    parser.add_argument("--format", choices=[f.value for f in FileFormat], default=FileFormat.CSV.value)
    parser.add_argument(
        "--exclude-pairs",
        type=Path,
        metavar="FILE",
        help="leave out these: subject, tab, object on each line",
    )
    arguments = parser.parse_args()
    if arguments.list:
        for info in relations():
            kinds = f"{info.subject_type} -> {info.object_type}"
            print(f"{info.relation_id:24} {info.count:6}  {info.name:26} {kinds} ({info.source})")
        return 0
    try:
        excluded = read_pairs(arguments.exclude_pairs) if arguments.exclude_pairs else frozenset()
        facts = load_facts(arguments.relations, arguments.limit, excluded)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    output = writer(FileFormat(arguments.format))
    sys.stdout.buffer.write(output.begin())
    for content in facts:
        sys.stdout.buffer.write(output.add(content))
    return 0


if __name__ == "__main__":
    sys.exit(main())
