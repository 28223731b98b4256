"""The page that `kfac-paper --help` prints, without loading anything else."""

PAGE = """\
kfac-paper repeats the experiments of the paper on K-FAC (Martens and Grosse, 2015): one study for
each of its figures. It draws the figure and says which of the paper's statements held here.

usage:  kfac-paper list
        kfac-paper STUDY [scale=small|full] [output=FOLDER] [OPTION=VALUE ...] [SETTING=VALUE ...]

list names the studies, the paper's figures that they repeat and about how long they take. SETTING
is any setting of kfac-run and goes to every run of the study, after the study's own settings:
threads=1, device=cuda, data_dir=FOLDER.

  scale=small       the same question in minutes on two processor cores; the default
  scale=full        the paper's sizes and iterations
  output=FOLDER     outputs/paper/STUDY-SCALE unless given
  --version         the version

Options of compare, options and batch-size
  problems=curves,mnist,faces    the problems; not of batch-size
  methods=NAME,NAME              some of the methods, or all; not of batch-size
  seconds=N                      each run ends after N optimizer seconds; not of batch-size
  sizes=250,500,1000             the mini-batch sizes; of batch-size, and of cost
  seeds=0,1,2                    seeds of initial parameters and mini-batches, one run for each
  jobs=N                         so many runs beside each other, 1 unless given

Option of damping
  run=FOLDER                     a run by kfac-run, from whose end the updates are made

What it leaves in FOLDER
  findings.txt, findings.json    statements of the paper, those not confirmed first, with numbers
  *.png, *.svg, *.csv            the figures and their numbers
  runs/                          the runs, each a folder of kfac-run
  report/                        where runs are compared: the page of kfac-report

Interrupted, the same command continues. A study that has ended is read and its findings are printed
again. One folder holds one study at one scale with the same settings; more seeds, problems,
methods, sizes or seconds extend it.

Examples
  kfac-paper compare
  kfac-paper compare scale=full problems=mnist seeds=0,1,2 seconds=720
  kfac-paper batch-size threads=1

Exit codes: 0 the study ended, whatever it found; 1 an error; 130 Ctrl-C; 143 SIGTERM.
More: docs/paper.md.
"""
