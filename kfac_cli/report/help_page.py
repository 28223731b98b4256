"""The page that `kfac-report --help` prints."""

PAGE = """\
kfac-report compares runs of kfac-run: which settings reached which error when, with curves,
verdicts, a ranking, and what the optimizers did inside. It leaves one page that opens in any
browser without a network, and every figure and table as a file.

usage:  kfac-report RUN_OR_FOLDER ... [output=FOLDER] [targets=ERROR,ERROR]

RUN_OR_FOLDER is the folder of a run, of a sweep, or any folder with runs somewhere below it. Runs
that differ only in the seed are one line with a band. A folder that cannot be read is named in a
line, and the rest is compared.

  output=FOLDER     where the report goes, ./report unless given; an earlier report is replaced
  targets=5,2       the training errors to measure the time to; chosen from the runs unless given
  --help            this page
  --version         the version

What it leaves in FOLDER
  report.html       the page
  figures/          every figure as PNG and SVG
  tables/           every table as CSV

Examples
  kfac-report outputs/sweeps/DATE_TIME_ID
  kfac-report outputs/curves outputs/sweeps output=compared targets=10,5,2

Exit codes: 0 the report was written, 1 an error, 130 Ctrl-C.
"""
