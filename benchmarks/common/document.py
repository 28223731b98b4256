"""docs/performance.md: marked sections, each replaced alone, so that the others survive."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from kfac_cli.files import replace_text

PERFORMANCE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown. Raises ValueError for a row that has not a cell for each column."""
    lines = [_row(columns), _row(["---"] * len(columns))]
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"{len(row)} cells for {len(columns)} columns: {list(row)}")
        lines.append(_row([str(cell) for cell in row]))
    return "\n".join(lines)


def write_section(path: Path, name: str, text: str) -> None:
    """Replace the section of this name in a document, or append it; all else stays as it is.

    A section stands between `<!-- begin NAME -->` and `<!-- end NAME -->`. Raises ValueError if
    only one of the two marks is there, or a mark twice.
    """
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    block = f"{begin}\n{text.strip()}\n{end}"
    marks = known.count(begin), known.count(end)
    if marks == (0, 0):
        joined = f"{known.rstrip()}\n\n{block}\n" if known else f"{block}\n"
        replace_text(path, joined)
        return
    if marks != (1, 1) or known.index(begin) > known.index(end):
        raise ValueError(f"{path.name}: the marks of the section {name} do not match")
    before, after = known[: known.index(begin)], known[known.index(end) + len(end) :]
    replace_text(path, before + block + after)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
