"""Pictures that the server draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """A drawing as SVG. Notebooks show it; `save` writes it."""

    svg: str

    def save(self, path: str | Path) -> Path:
        """Writes the SVG to a file and returns its path: `report.picture.save("why.svg")`."""
        file = Path(path)
        file.write_text(self.svg, encoding="utf-8")
        return file

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Picture: {len(self.svg)} characters of SVG>"
