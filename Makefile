# Two commands do everything on a machine with Python 3.11 or later, git and make: `make demo` and `make test`.

PYTHON ?= python3
DEMO := .venv-demo/bin
DEV := .venv/bin

.PHONY: demo test matrix quick lint bench docs clean

demo: .venv-demo/ready
	$(DEMO)/autotrack demo

test: lint
	$(DEV)/pytest -n 2

# the quick tests on the other Pythons of this machine, and on the oldest scikit-learn
matrix: .venv/ready
	$(DEV)/python tests/matrix.py

quick: lint
	$(DEV)/pytest -n 2 -m "not slow"

lint: .venv/ready
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/lint-imports

bench: .venv/ready-bench
	$(DEV)/python benchmarks/run.py

docs: .venv/ready
	$(DEV)/mkdocs build --strict

# scikit-learn and skops, no torch
.venv-demo/ready: pyproject.toml
	$(PYTHON) -m venv --clear .venv-demo
	$(DEMO)/pip install --quiet -e ".[sklearn]"
	touch $@

# everything that the tests need; torch is pinned in pyproject.toml
.venv/ready: pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(DEV)/pip install --quiet --upgrade pip
	$(DEV)/pip install --quiet -e ".[dev]" -e plugins/example
	touch $@

# the peers that the benchmarks measure against, beside what the tests need: torch stays as it is pinned
.venv/ready-bench: .venv/ready
	$(DEV)/pip install --quiet -e ".[dev,bench]"
	touch $@

clean:
	rm -rf .venv .venv-demo .venv-matrix autotrack-demo site
