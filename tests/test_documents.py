"""The files that a reader of the repository meets: they agree with the code and with each other."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "outputs/README.md"]
LINK = re.compile(r"\]\(([^)#\s]+)")


@pytest.fixture
def git():
    """Calls git in the repository; without git or a checkout, the test is skipped."""

    def call(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)

    try:
        known = call("ls-files", "pyproject.toml").stdout
    except OSError:
        known = ""
    if not known:
        pytest.skip("needs git and a checkout")
    return call


@pytest.fixture(scope="module")
def draw_layers():
    """The script that draws the pictures of the architecture."""
    path = ROOT / "docs/draw_layers.py"
    spec = importlib.util.spec_from_file_location("draw_layers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    targets = LINK.findall(page.read_text())
    missing = [
        target
        for target in targets
        if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists()
    ]
    assert not missing


# The architecture


def test_the_pictures_of_the_architecture_are_up_to_date(draw_layers):
    page = draw_layers.PAGE.read_text()
    assert draw_layers.drawn(page) == page, "call make docs"


def test_a_picture_has_every_layer_and_their_order(draw_layers):
    assert draw_layers.picture([["top", "beside"], ["bottom"]]).splitlines() == [
        "```mermaid",
        "flowchart TB",
        '    L0["top · beside"]',
        '    L1["bottom"]',
        "    L0 --> L1",
        "```",
    ]


def test_every_package_with_layers_is_drawn_and_every_room_explained(draw_layers):
    page = draw_layers.PAGE.read_text()
    packages = draw_layers.contracts()
    assert draw_layers.PICTURE.findall(page) == list(packages)
    rooms = [room for layers in packages.values() for layer in layers for room in layer]
    assert re.findall(r"^\| \[`(\w+)`\]", page, re.MULTILINE) == rooms


# Contributing


def test_pre_commit_makes_the_checks_of_make_lint():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    checks = re.findall(r"\$\(VENV\)/bin/([\w-]+(?: [a-z]+)?)", recipe[1])
    assert checks == ["ruff check", "ruff format", "mypy", "lint-imports"]
    assert [hook.removeprefix(".venv/bin/").split(" --")[0] for hook in hooks] == checks


def test_contributing_names_commands_that_make_has():
    made = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(
        r"(?:^|`)make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    assert {"test", "lint", "compare"} <= set(named) <= set(made)


def test_the_changelog_has_this_version():
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[:2] == ["Unreleased", PROJECT["project"]["version"]]


# The folder of runs


def test_of_outputs_git_keeps_the_readme_alone(git):
    assert git("ls-files", "outputs").stdout.split() == ["outputs/README.md"]
    runs = ["outputs/curves/kfac_tridiag/2026/summary.json", "outputs/run.png", "outputs/sweeps/x"]
    assert git("check-ignore", *runs).stdout.split() == runs
    assert git("check-ignore", "--no-index", "outputs/README.md").returncode == 1
