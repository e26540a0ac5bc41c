PYTHON ?= python3
BENCH := .venv/bin/bench

.PHONY: demo test lint clean

demo: .venv/.installed
	$(BENCH) run --estimator core --dataset digits --preset quick --posterior both --seeds 2

test: .venv/.installed-dev
	.venv/bin/python -m pytest -q -n auto --dist worksteal

lint: .venv/.installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/python
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/.installed-dev: .venv/.installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv build ./*.egg-info
