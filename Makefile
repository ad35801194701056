# What a working day needs. The tools come from `pip install -e '.[test]'`.
PYTHON ?= python

.PHONY: check lint types test test-slow format help-docs strip smoke clean

check: lint types test  ## what must hold before a commit

lint:  ## style, imports, annotations, format
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:  ## strict types
	$(PYTHON) -m mypy

test:  ## the fast tests, on all cores
	$(PYTHON) -m pytest -n auto --dist loadfile

test-slow:  ## the tests that take longer than a few seconds
	$(PYTHON) -m pytest -m slow

format:  ## rewrite: imports, what ruff can repair, format
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

help-docs:  ## docs/cli.md from the help texts
	$(PYTHON) docs/make_cli.py

strip:  ## docs/strip.png, the picture of the README, from the embedded model
	$(PYTHON) docs/make_strip.py

smoke:  ## every stage of training, small, in about a minute
	$(PYTHON) -m models.training all --smoke --out runs/smoke

clean:  ## what building and checking leave behind
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
