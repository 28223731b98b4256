"""The page that `kfac-tune --help` prints, without loading anything else."""

PAGE = """\
kfac-tune searches for the settings of kfac-run with which it trains best. Each trial is an ordinary
run in a folder of its own; bad trials can be stopped early; an interrupted search continues.

usage:  kfac-tune [SETTING=RANGE ...] [SETTING=VALUE ...] [OPTION=VALUE ...]
        kfac-tune output=FOLDER                continue or join the study in FOLDER
        kfac-tune --protocol optimizer=A,B,C [SETTING=VALUE ...]

Ranges, in Hydra's grammar; everything else is a setting of kfac-run
  SETTING=A,B,C                          one of these, also of a group: schedule=exponential,fixed
  SETTING=interval(LOW,HIGH)             a number; int(interval(LOW,HIGH)) for whole ones
  SETTING=range(START,STOP,STEP)         a number on a grid, without STOP
  SETTING=tag(log,interval(LOW,HIGH))    a number whose logarithm is uniform
  search=NAME                            a ready-made space, which typed ranges and values change:
                                         kfac_tridiag, kfac_tridiag_no_momentum, kfac_diag, ekfac,
                                         heskes, sgd_kfac_momentum, nesterov_sgd (as in Sutskever et
                                         al. 2013), adam, adamw, sgd, muon; or a FILE.yaml with
                                         lines SETTING: RANGE

Options
  output=FOLDER            of the study; without it a new one, outputs/tune/DATE_TIME_ID
  trials=40                of the whole study; a larger number continues a study that has ended
  sampler=tpe              tpe, qmc (quasi-random), random or grid (all combinations)
  sampler_seed=0           the same seed gives the same trials
  pruner=median            median, hyperband or none: none is the default where equal iterations are
                           unfair, the objective or the budget being seconds, or the range a setting
                           that changes what an iteration costs, such as t3, or when a rate changes
  objective=error          the best training error, the default; or what it takes until
                           target_error: seconds (of the optimizer; the default where there is a
                           target_error), iterations or cases
  storage=sqlite:////P     a database instead of the file study.journal in the folder
  study=kfac-tune          the study's name in a database that several share

Budgets are settings: iterations=N, max_optimizer_seconds=S (of the steps, without evaluations),
target_error=E, evaluate_every=N.

Any number of kfac-tune processes with the same output= work on one study. Ctrl-C or a kill loses
nothing: kfac-tune output=FOLDER continues each trial from its checkpoint.

--protocol compares optimizers after AlgoPerf: for each, three studies (studies=3) of five
quasi-random trials (trials=5) of its ready-made space, nothing pruned, the same budget; a study
counts by its best trial, an optimizer by its median study. AlgoPerf itself has five studies, and
scores the time to a validation target, not the training error.

Examples
  kfac-tune search=adam dataset=mnist max_optimizer_seconds=120 iterations=4000 trials=20
  kfac-tune dataset=mnist optimizer=nesterov_sgd optimizer.mu_max=0.9,0.99,0.995 \\
    'optimizer.learning_rate=tag(log,interval(1e-4,0.1))' trials=40 output=FOLDER
  kfac-tune --protocol optimizer=kfac_tridiag,adam,nesterov_sgd dataset=curves iterations=2500 \\
    max_optimizer_seconds=60

It leaves ranking.csv, importances.csv, experiment/best.yaml (kfac-run --config-dir FOLDER
experiment=best) and trials/N in FOLDER; kfac-report FOLDER draws them. More: docs/tuning.md.
Exit codes: 0 the study ended, 1 an error or every trial failed, 130 Ctrl-C, 143 SIGTERM.
"""
