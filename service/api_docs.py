"""The table of errors in docs/api.md, made from the one table: `python -m service.api_docs` rewrites it."""

from __future__ import annotations

from pathlib import Path

from service.errors import TABLE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
_BEGIN = "<!-- errors: made by `python -m service.api_docs`, which a test compares -->\n"
_END = "<!-- end of errors -->"


def error_table() -> str:
    """One line for each error that clients can tell apart, by code and reason."""
    lines = ["| code | reason | when |", "|---|---|---|"]
    shown = [(row.code.name, cls) for cls, row in TABLE.items() if not row.hidden]
    for code, cls in sorted(shown, key=lambda pair: (pair[0], pair[1].__name__)):
        reason = getattr(cls, "reason", "")
        meaning = (cls.__doc__ or "").strip().splitlines()[0]
        lines.append(f"| {code} | {reason} | {meaning} |")
    lines.append("| INTERNAL | INTERNAL | A defect or damage on the server's side; its log says more. |")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """The page with the table as it must be."""
    head, _, rest = page.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    return f"{head}{_BEGIN}{error_table()}{_END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
