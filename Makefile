# Everyday commands; `make help` lists them. The first one that needs it creates .venv.

VENV := .venv
INSTALLED := $(VENV)/.installed
PEERS := .venv-peers
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

# Overridable: make run ARGS="dataset=mnist iterations=150"; make test PYTEST_ARGS="-k curves";
# make run PYTHON=/opt/python3.12/bin/python3
ARGS ?=
BASE ?= HEAD
# One process of tests for each core, of one thread each. In the order of the files: xdist would begin
# those of few tests, among which are the longest ones, last.
PYTEST_ARGS ?= -n auto --dist loadfile --no-loadscope-reorder
PYTHON ?=

# .venv names its checkout: a copy of the folder, or one that was moved, gets another one.
ifneq ($(wildcard $(INSTALLED)),)
ifneq ($(shell cat $(INSTALLED)),$(CURDIR))
$(INSTALLED): another-checkout
endif
endif

.DEFAULT_GOAL := help
.PHONY: another-checkout help run smoke test soak compare lint docs format clean clean-all fuzz \
    bench bench-peers bench-processes bench-gpu results

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: $(INSTALLED) ## train; ARGS has the settings, e.g. make run ARGS="dataset=mnist iterations=150"
	$(VENV)/bin/kfac-run $(ARGS)

smoke: $(INSTALLED) ## a run of a few seconds, to check that everything works
	$(VENV)/bin/kfac-run experiment=smoke $(ARGS)

test: lint ## lint, check formatting and types, then run all tests (PYTEST_ARGS="-k NAME" for some)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest $(PYTEST_ARGS)

soak: $(INSTALLED) ## kill and resume small runs for minutes (ARGS="--kills 1000 --seed 1" for more)
	$(VENV)/bin/python -m tests.soak $(ARGS)

fuzz: $(INSTALLED) ## try 5000 random command lines, new ones each time: half an hour
	KFAC_FUZZ=5000 $(VENV)/bin/python -m pytest -q tests/commands/test_any_command_line.py

bench: $(INSTALLED) ## measure the speed on this machine, into docs/performance.md: 15 minutes
	$(VENV)/bin/python -m benchmarks $(ARGS)

bench-peers: $(INSTALLED) $(PEERS)/.installed ## against kfac-jax and torch's optimizers, each tuned: about an hour
	$(VENV)/bin/python -m benchmarks.peers --jax-python $(PEERS)/bin/python $(ARGS)

bench-processes: $(INSTALLED) ## two processes against one on this machine: 10 minutes
	$(VENV)/bin/python -m benchmarks.processes $(ARGS)

bench-gpu: $(INSTALLED) ## tests and speed on a GPU: 8 minutes
	$(VENV)/bin/python -m benchmarks.gpu $(ARGS)

results: $(INSTALLED) ## K-FAC beside tuned first-order methods, into docs/results.md: hours, resumable
	$(VENV)/bin/python -m benchmarks.results $(ARGS)

compare: $(INSTALLED) ## compare results bit for bit with the last commit's or BASE=COMMIT's: minutes
	$(VENV)/bin/python -m tests.compare $(BASE) $(ARGS)

lint: $(INSTALLED) ## check style, formatting, types and imports between packages
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(INSTALLED) ## write docs/settings.md, docs/metrics.md and the pictures of the architecture
	$(VENV)/bin/python -m kfac_cli.config.reference > docs/settings.md
	$(VENV)/bin/python -m kfac_cli.recording.reference > docs/metrics.md
	$(VENV)/bin/python docs/draw_layers.py

format: $(INSTALLED) ## format the code and apply the fixes of the linter
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# What only the benchmarks of other programs need has an environment of its own.
$(PEERS)/.installed: benchmarks/peers/requirements.txt | $(INSTALLED)
	$(VENV)/bin/python -m venv --clear --without-pip $(PEERS)
	$(VENV)/bin/python -m pip --python $(PEERS)/bin/python install \
	    --disable-pip-version-check -r benchmarks/peers/requirements.txt
	@touch $@

clean: ## remove caches and build results, but not outputs/ and .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -not -path './$(PEERS)/*' -prune -exec rm -rf {} +

clean-all: clean ## also remove .venv, which the next command sets up again
	rm -rf $(VENV) $(PEERS)

# The stamp is written last, so a set-up that failed is resumed. A .venv whose Python is missing or
# unsupported is recreated. Some distributions ship Python without ensurepip; then the pip of that
# Python installs one into .venv.
$(INSTALLED): pyproject.toml
	@if [ -s $@ ] && [ "$$(cat $@)" != '$(CURDIR)' ]; then rm -rf $(VENV); fi
	@if ! $(VENV)/bin/python -c 'import pip; $(SUPPORTED)' 2>/dev/null; then \
	    python=; \
	    for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	        if "$$candidate" -c '$(SUPPORTED)' 2>/dev/null; then python=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then \
	        echo 'kfac-run needs Python 3.11, 3.12 or 3.13 and found none:' \
	            'name one with make PYTHON=/path/to/python3' >&2; \
	        exit 1; \
	    fi; \
	    rm -rf $(VENV); \
	    if "$$python" -c 'import ensurepip' 2>/dev/null; then \
	        "$$python" -m venv $(VENV); \
	    else \
	        "$$python" -m venv --without-pip $(VENV) && \
	            "$$python" -m pip --python $(VENV)/bin/python install pip; \
	    fi; \
	fi
	$(VENV)/bin/python -m pip install --disable-pip-version-check -e '.[dev]'
	@printf '%s' '$(CURDIR)' > $@
