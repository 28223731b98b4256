"""kfac-report as it is typed."""

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kfac_cli.report import command
from kfac_cli.report.command import main, parse
from kfac_cli.report.pictures import WIDTH, pairs_of
from kfac_cli.report.runs import load_runs
from kfac_cli.report.write import OWN_FILES
from tests.report.folders import settings, write_run

STORED = Path(__file__).parent / "stored"


@pytest.fixture
def report(tmp_path, monkeypatch, capsys):
    """Call the command in an empty folder; returns its code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.usefixtures("pictures")
def test_the_page_figures_and_tables_are_written(report, tmp_path):
    write_run(tmp_path / "runs" / "0", settings(seed=0))
    write_run(tmp_path / "runs" / "1", settings("adam"))
    code, out, err = report("runs", "output=here/compared", "targets=10,5")
    assert (code, err) == (0, "")
    assert out.endswith("here/compared/report.html  2 runs\n")
    folder = tmp_path / "here" / "compared"
    assert (folder / "report.html").stat().st_size < 8e6
    tables = {path.name for path in (folder / "tables").iterdir()}
    assert {"time-to-target.csv", "verdicts.csv", "ranking.csv", "runs.csv", "tuning.csv"} <= tables
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {"curves-iterations.png", "curves-iterations.svg", "inside-iterations.png"} <= figures


def test_an_earlier_report_beside_the_runs_is_replaced_and_no_run(report, tmp_path):
    write_run(tmp_path / "sweep" / "0")
    first = report("sweep", "output=sweep/report")
    assert first[0] == 0
    assert report("sweep", "output=sweep/report") == first


def test_files_of_an_earlier_report_are_removed_and_no_others(report, tmp_path):
    for number in range(2):
        write_run(tmp_path / "both" / str(number), settings(dataset__name=f"own{number}"))
    report("both")
    folder = tmp_path / "report"
    kept = [folder / "tables" / "mine.csv", folder / "figures" / "curves.txt"]
    for path in kept:
        path.write_text("")
    before = {path for path in folder.rglob("*.*") if path not in kept}
    assert folder / "tables" / "verdicts-2.csv" in before
    report("both/0")
    report("both/0", "output=alone")
    alone = {path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*.*")}
    left = {path.relative_to(folder) for path in folder.rglob("*.*") if path not in kept}
    assert left == alone
    assert all(path.exists() for path in kept)


def test_every_file_of_a_report_has_one_of_its_names(report, tmp_path):
    write_run(tmp_path / "runs" / "0", settings("adam"))
    write_run(tmp_path / "runs" / "1", settings("adam", optimizer__arguments__lr=0.1))
    write_run(tmp_path / "runs" / "2", settings(dataset__name="mnist"))
    report("runs")
    for name, own in OWN_FILES.items():
        files = list((tmp_path / "report" / name).iterdir())
        assert files
        assert all(re.fullmatch(own, path.name) for path in files)


def test_the_folder_of_a_run_stays_as_it_is(report, tmp_path):
    run = write_run(tmp_path / "run")
    before = sorted(path.name for path in run.iterdir())
    code, _, err = report("run", "output=run")
    assert code == 1
    assert err == "kfac-report: error: output=run: holds a run; choose another folder\n"
    assert sorted(path.name for path in run.iterdir()) == before


def test_what_cannot_be_read_is_a_line_and_the_rest_is_compared(report, tmp_path):
    write_run(tmp_path / "good")
    (write_run(tmp_path / "bad") / "summary.json").write_text("{")
    code, _, err = report("good", "bad", "nowhere")
    assert code == 0
    assert err.splitlines() == [
        "kfac-report: nowhere: no such folder",
        "kfac-report: bad/summary.json: is damaged: it does not hold JSON",
    ]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "bad/summary.json: is damaged" in page


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "no folder given; kfac-report --help shows how it is used"),
        (["nowhere"], "there is no run to compare"),
        (["run", "targets=five"], "targets=five: must be errors above 0, as targets=5,2"),
        (["run", "targets=5,-1"], "targets=5,-1: must be errors above 0, as targets=5,2"),
        (["run", "targest=5"], "targest=5: must be a folder, or output or targets=VALUE"),
        (["run", "output="], "output=: must name a folder"),
        (["run", "output=~nosuchuser/x"], "output=~nosuchuser/x: there is no such home folder"),
        (["run", "--verbose"], "--verbose: no such option; kfac-report --help shows how it is"),
        (["run", "output=file"], "output=file: is not a folder"),
    ],
)
def test_a_mistake_is_one_line(report, tmp_path, words, line):
    write_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    code, out, err = report(*words)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"kfac-report: error: {line}")
    assert len(err.splitlines()) <= 2


@pytest.mark.parametrize(
    "word", ["output=elsewhere", "targets=5", "--reference=mnist_*", "--reference-seconds"]
)
def test_what_only_a_report_has_is_refused_beside_a_claim(report, tmp_path, word):
    write_run(tmp_path / "run")
    code, out, err = report("run", word, "--claim", "seed=0 < seed=1 at error 5")
    name = word.partition("=")[0] + "=" * (not word.startswith("-"))
    assert (code, out) == (3, "")
    assert f"{name}: belongs to a report, which --claim does not write" in err


def test_a_bug_is_not_taken_for_a_claim_that_did_not_hold(report, tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(command, "_run", fail)
    claim = "--claim", "optimizer=adam < optimizer=sgd at error 5"
    code, _, err = report("run", *claim)
    assert (code, err.splitlines()[-1]) == (3, "ZeroDivisionError")
    with pytest.raises(ZeroDivisionError):
        report("run")


def test_help_shows_every_option_and_loads_nothing(report):
    code, out, _ = report("--help")
    assert code == 0
    assert "output=FOLDER" in out and "targets=5,2" in out
    assert max(map(len, out.splitlines())) <= 100


def test_targets_are_taken_easiest_first():
    assert parse(["run", "targets=2,5,2"]).targets == (5, 2)


def test_the_whole_command_does_not_load_torch(tmp_path):
    write_run(tmp_path / "run")
    program = (
        "import sys; from kfac_cli.report.command import main; "
        f"code = main([{str(tmp_path / 'run')!r}, {'output=' + str(tmp_path / 'out')!r}]); "
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 False"


def test_runs_of_every_format_are_compared_together(report):
    code, out, err = report(STORED)
    assert code == 0
    assert "4 runs" in out or "4 runs" in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("pictures")
def test_names_that_are_not_text_are_written(report, tmp_path):
    folder = write_run(tmp_path / "run")
    summary = json.loads((folder / "summary.json").read_text())
    summary["settings"]["optimizer.name"] = "\ud800 $\\alpha$ %{x} <b>"
    (folder / "summary.json").write_text(json.dumps(summary))
    assert report("run")[0] == 0


def test_the_pairs_are_cut_out_of_the_picture_of_a_run(tmp_path):
    """The pairs are white in a black picture: what is cut out is white."""
    folder = write_run(tmp_path / "run")
    picture = Image.new("L", (1160, 640), 0)
    picture.paste(255, (760, 99, 1149, 589))
    picture.save(folder / "run.png")
    ((run,), _) = load_runs([folder])
    found = pairs_of(run)
    assert found.width == WIDTH
    data = base64.b64decode(found.uri.partition(",")[2])
    assert np.asarray(Image.open(io.BytesIO(data))).min() > 200


@pytest.mark.parametrize("contents", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_a_damaged_picture_is_left_out(tmp_path, contents):
    folder = write_run(tmp_path / "run")
    (folder / "run.png").write_bytes(contents)
    ((run,), _) = load_runs([folder])
    assert pairs_of(run) is None


@pytest.mark.parametrize(("patience", "appears"), [(0.0, True), (100.0, False)])
def test_a_progress_bar_appears_when_it_takes_long(monkeypatch, capsys, patience, appears):
    monkeypatch.setattr(command, "PATIENCE", patience)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with command.ProgressBar() as bar:
        update = bar.stage("reading runs")
        update(1, 2)
        update(2, 2)
    assert ("reading runs" in capsys.readouterr().err) == appears


def test_ctrl_c_is_one_line(report, tmp_path, monkeypatch):
    write_run(tmp_path / "run")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kfac_cli.report.runs.load_runs", interrupted)
    assert report("run") == (130, "", "kfac-report: interrupted\n")
