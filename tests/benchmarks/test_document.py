"""docs/performance.md: tables, and sections that are replaced alone."""

import re

import pytest

from benchmarks.__main__ import PARTS
from benchmarks.common.document import PERFORMANCE, markdown_table, write_section
from benchmarks.common.part import Part, run
from kfac_cli.errors import UserError


def test_a_section_is_replaced_and_all_else_stays(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("# Title\n\n<!-- begin a -->\nold\n<!-- end a -->\n\nby hand\n\n")
    write_section(path, "b", "other machine")
    write_section(path, "a", "new")
    expected = "# Title\n\n<!-- begin a -->\nnew\n<!-- end a -->\n\nby hand\n\n"
    assert path.read_text() == f"{expected}<!-- begin b -->\nother machine\n<!-- end b -->\n"


def test_a_document_is_begun_where_there_is_none(tmp_path):
    write_section(tmp_path / "page.md", "a", "text")
    assert (tmp_path / "page.md").read_text() == "<!-- begin a -->\ntext\n<!-- end a -->\n"


@pytest.mark.parametrize(
    "text", ["<!-- begin a -->", "<!-- end a --><!-- begin a -->", "<!-- begin a -->" * 2]
)
def test_marks_that_do_not_match_lose_nothing(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(ValueError, match="section a"):
        write_section(path, "a", "new")
    assert path.read_text() == text


def test_a_table_has_a_cell_for_each_column():
    assert markdown_table(["x", "y"], [[1, "two"]]) == "| x | y |\n| --- | --- |\n| 1 | two |"
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        markdown_table(["x", "y"], [[1]])


def test_the_page_has_a_place_for_every_section():
    names = [*(part.name for part in PARTS), "peers", "gpu", "processes"]
    assert re.findall(r"<!-- begin (\w+) -->", PERFORMANCE.read_text()) == names


def test_a_part_that_fails_is_one_line_and_the_next_one_is_written(tmp_path, capsys):
    def without_data(small):
        raise UserError("there are no data")

    parts = [Part("a", "A", without_data), Part("b", "B", lambda small: f"small: {small}")]
    assert run(parts, ["--small", "--output", str(tmp_path / "page.md")]) == 1
    assert "a: there are no data" in capsys.readouterr().err
    page = (tmp_path / "page.md").read_text()
    assert "begin a" not in page
    assert "## B\n\nWritten by `make bench` on " in page
    assert page.endswith("small: True\n<!-- end b -->\n")


def test_small_sizes_do_not_touch_the_page(capsys):
    before = PERFORMANCE.read_text()
    assert run([Part("b", "B", lambda small: "text")], ["--small"]) == 0
    assert PERFORMANCE.read_text() == before
    assert "text" in capsys.readouterr().out
