"""Draw the layers of the code, as pyproject.toml declares them, into docs/architecture.md.

`make docs` calls it; a test compares the picture with the declaration.
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "architecture.md"
PICTURE = re.compile(r"<!-- picture of (\S+) -->\n.*?<!-- end -->", re.DOTALL)


def contracts(pyproject: Path = DOCS.parent / "pyproject.toml") -> dict[str, list[list[str]]]:
    """For each package with layers, its rooms, layer by layer from the top."""
    declared: dict[str, Any] = tomllib.loads(pyproject.read_text())
    return {
        contract["containers"][0]: [layer.split(" | ") for layer in contract["layers"]]
        for contract in declared["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    }


def picture(layers: Sequence[Sequence[str]]) -> str:
    """A Mermaid flowchart: a box for each layer, with an arrow to the next one below."""
    boxes = [f'    L{number}["{" · ".join(rooms)}"]' for number, rooms in enumerate(layers)]
    arrows = "    " + " --> ".join(f"L{number}" for number in range(len(layers)))
    return "\n".join(["```mermaid", "flowchart TB", *boxes, arrows, "```"])


def drawn(page: str) -> str:
    """The page with its pictures drawn anew."""
    layers = contracts()
    return PICTURE.sub(
        lambda found: f"<!-- picture of {found[1]} -->\n{picture(layers[found[1]])}\n<!-- end -->",
        page,
    )


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
