# The two commands of the README: `make demo` and `make test`. Each sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# one thread each: on two cores, more wait for one another
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

.PHONY: demo test trials check weights clean

demo: $(VENV)/.run
	test -e demo/sky/truth.parquet || $(BIN)/xsaga simulate demo/sky --center 180.0,0.25 --bricks 8
	$(BIN)/xsaga run catalogs/demo.toml --out demo/run
	$(BIN)/xsaga labels demo/sky/redshifts-simulated.parquet --photometry demo/sky/sweep \
		--separation 0 --out demo/labels.parquet
	$(BIN)/xsaga evaluate demo/run --labels demo/labels.parquet --no-baselines \
		--out demo/evaluation

test: $(VENV)/.dev
	$(PYTEST) -m "not trial"

trials: $(VENV)/.dev
	$(PYTEST) -m trial

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

weights: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" benchmarks/simulated_weights.sh demo/weights

$(VENV)/.python:
	$(PYTHON) -c 'import sys; sys.exit("xsaga needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.run: $(VENV)/.python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[sim,report]'
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info
