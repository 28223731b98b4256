"""The page that `kfac-report --help` prints."""

PAGE = """\
kfac-report compares runs of kfac-run: which settings reached which error when, with curves,
verdicts, a ranking, and what the optimizers did inside. It leaves one page that opens in any
browser without a network, and every figure and table as a file.

usage:  kfac-report RUN_OR_FOLDER ... [output=FOLDER] [targets=ERROR,ERROR] [--reference NAME ...]
        kfac-report RUN_OR_FOLDER ... --claim "A < B at error NUMBER [by COST]" [--level P]
        kfac-report --references

RUN_OR_FOLDER is the folder of a run, of a sweep, or any folder with runs somewhere below it. Runs
that differ only in the seed are one line with a band. A folder that cannot be read is named in a
line, and the rest is compared.

  output=FOLDER     where the report goes, ./report unless given; an earlier report is replaced
  targets=5,2       the training errors to measure the time to; chosen from the runs unless given
  --reference NAME  draw a published curve too; a pattern such as 'mnist_*' for several, or a CSV
                    file of your own with the columns of evaluations.csv
  --reference-seconds   draw published curves against seconds too, which are of other machines
  --references      list the published curves
  --help            this page
  --version         the version

What it leaves in FOLDER
  report.html       the page
  figures/          every figure as PNG and SVG
  tables/           every table as CSV

A claim is tested over the seeds instead, one-sided and exactly; a miss is worse than any hit. A
and B are settings that name runs, such as optimizer=adam optimizer.arguments.lr=1e-3; COST is
iterations, cases or seconds. "A < B at iteration 200" compares the errors there.
  --level P         the level of the test, 0.05 unless given

Examples
  kfac-report outputs/sweeps/DATE_TIME_ID
  kfac-report outputs/curves outputs/sweeps output=compared targets=10,5,2
  kfac-report outputs/curves --reference 'curves_*'
  kfac-report outputs --claim "optimizer=kfac_tridiag < optimizer=adam at error 5 by seconds"

Exit codes: 0 the report was written, 1 an error, 130 Ctrl-C. With --claim: 0 it held, 1 it did not,
2 too few runs to say, 3 an error; of several claims 1 comes before 2 before 0.
"""
