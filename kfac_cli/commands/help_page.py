"""The page that `kfac-run --help` prints, without loading anything else."""

from kfac_cli.terminal import exit_code_of_text

PAGE = """\
kfac-run trains deep autoencoders with K-FAC (Martens and Grosse, 2015), on the paper's problems
or your data, and leaves tables, a picture, TensorBoard files and the parameters in a new folder.

usage:  kfac-run [OPTION] [GROUP=CHOICE ...] [SETTING=VALUE ...]

Groups: choose one of each
  dataset     curves (default, generated), mnist, faces; mnist_labels (digits to classify);
              arrays (your own .npy or .npz files), idx (your own files like MNIST's);
              curves_small (for tests)
  preset      the values of settings that are not given: default (this project's), paper (the
              paper's text and nothing else) or companion (its authors' code, as it made the
              published runs); docs/settings.md lists where they differ
  optimizer   kfac_diag (default), kfac_tridiag, kfac_tridiag_no_momentum, nesterov_sgd (the
              paper's baseline), heskes (fixed damping, for comparison); of torch.optim: adam,
              adamw, sgd, muon, and torch with optimizer.algorithm=NAME for any other;
              sgd_kfac_momentum (no curvature, K-FAC's step size and momentum);
              ekfac (block-diagonal, re-scaled in the eigenvectors of K-FAC's factors)
  schedule    the size of the mini-batches: exponential (default), fixed, stepwise (a table),
              adaptive (by the gradient's variance); with other values of the first two:
              exponential_200, exponential_small, fixed_100, fixed_250, fixed_1000
  experiment  smoke (seconds, no files needed), or one of the paper's, with preset=paper:
              PROBLEM_METHOD, PROBLEM being curves, mnist or faces, METHOD being kfac_tridiag,
              kfac_tridiag_no_momentum, kfac_diag or nesterov_sgd or, with their best rates, adam,
              adamw or muon; on mini-batches of 100 cases nesterov_sgd_100 or adam_100; or
              mnist_labels_kfac_tridiag, mnist_labels_heskes

Settings used most; kfac-run --cfg job prints all of them, docs/settings.md explains them
  iterations=500             parameter updates
  seed=0                     the same seed gives the same run
  device=auto                auto, cpu, cuda or, for the second GPU, cuda:1
  data_dir=FOLDER            where data files are kept; also set by the variable KFAC_DATA_DIR
  evaluate_every=25          iterations between evaluations on all cases
  target_error=2.0           stop once the training error is this low
  require_target=true        exit code 1 if it never gets there
  max_seconds=60             stop after so much time; a resumed run counts anew
  max_optimizer_seconds=60   stop after so much time in steps, the same for every optimizer
  checkpoint.minutes=5       minutes from one checkpoint to the next
  checkpoint.keep=0          leave no checkpoint once the run has ended as planned
  threads=1                  CPU threads; 1 is the fastest where other programs are busy
  chunk_size=auto            cases computed at once, or a number: fewer need less memory
  tags=[baseline,lr3]        names that summary.json lists, to find and compare runs by
  l2=1e-5                    l2 regularisation, eta
  optimizer.tau2=0.25        one setting of the chosen optimizer, here K-FAC's
  schedule.size=500          one setting of the chosen schedule, here of schedule=fixed

Resuming a run that was interrupted or killed, or that is to be longer
  resume=RUN_FOLDER          from its last checkpoint, bit for bit as if it had never stopped;
                             with it, only iterations, max_seconds, max_optimizer_seconds,
                             target_error, require_target, max_rejections, evaluate_every,
                             tags, tensorboard, checkpoint.every, checkpoint.minutes,
                             checkpoint.keep, device, threads, matmul, chunk_size,
                             optimizer.activation_memory, data_dir and the paths of
                             dataset=arrays and dataset=idx may be given other values

Starting from the state of another run, in a folder of its own
  start_from=RUN_FOLDER      its parameters, average and mini-batches, and the optimizer's state
                             where it fits; or the checkpoint of an iteration; any setting may
                             differ but the data and the network, and iterations counts from that
                             run's beginning

Options, written before groups and settings
  -m, --multirun             run every combination of comma-separated values
  --cfg job                  print the settings instead of running
  --info                     how the settings were put together
  --version                  the version of kfac-run
  --hydra-help               the options of Hydra, which reads this command line

Examples
  kfac-run                                              CURVES, about four minutes on two CPU cores
  kfac-run dataset=mnist iterations=150
  kfac-run experiment=faces_kfac_diag device=cuda
  kfac-run experiment=mnist_kfac_tridiag preset=companion
  kfac-run optimizer=nesterov_sgd schedule=fixed schedule.size=250 iterations=2000
  kfac-run -m optimizer=kfac_tridiag,kfac_diag seed=0,1
  kfac-run dataset=mnist optimizer.tau2=1 --cfg job
  kfac-run resume=outputs/mnist/kfac_tridiag/DATE_TIME_ID iterations=1000
  kfac-run -m start_from=outputs/curves/kfac_diag/DATE_TIME_ID optimizer.t3=1,5,20
  eval "$(kfac-run -sc install=bash)"                   completion with the Tab key, this shell

Results go to outputs/DATASET/OPTIMIZER/DATE_TIME_ID, those of -m to outputs/sweeps/DATE_TIME_ID,
a folder for each job, such as 3_seed=1,optimizer=adam.
kfac-report FOLDER ... compares runs; kfac-paper list names the paper's experiments (both: --help).
Exit codes: 0 the run ended as planned (for -m, every job); 1 an error, divergence or a required
target that was not reached; 128 plus its number for a signal that stopped the run, which is saved:
129 SIGHUP, 130 Ctrl-C, 138 SIGUSR1, 140 SIGUSR2, 143 SIGTERM, 152 SIGXCPU (numbers of Linux).
"""


def print_page() -> int:
    """Print the page; return 0, or 1 if it could not be written."""
    print(PAGE, end="")
    return exit_code_of_text()
