# make demo, make test: each sets everything up on a fresh machine and does its one job.
# make peers, make bench: the same beside diffusers, k-diffusion, MONAI and azula, in an environment of their own,
# since what they ask for (NumPy 1) is not what we do.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.diffx-ready

BENCH := .venv-bench
BENCH_READY := $(BENCH)/.diffx-ready

.PHONY: demo test peers bench
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/diffx run plugin=mri_synth
	@echo "report: $$(ls -td runs/mri_synth/*/report.html | head -n 1)"

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile

peers: $(BENCH_READY)
	$(BENCH)/bin/python -m pytest -q tests/test_peers.py

bench: $(BENCH_READY)
	$(BENCH)/bin/python benchmarks/core.py --quick --json bench.json

$(BENCH_READY): pyproject.toml
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install -q --disable-pip-version-check -e '.[mri,bench]' pytest
	@touch $@

$(READY): pyproject.toml hatch_build.py weights/diffx-weights-research/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "diffx needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[all,dev]' -e ./weights/diffx-weights-research
	@touch $@
