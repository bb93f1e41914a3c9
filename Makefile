# Two commands matter: `make app` starts Masquerade, `make test` checks everything.
# PYTHON is the first of these that runs; PYTHON=python3.13 VENV=.venv-3.13 takes another one.
PYTHON ?= $(or $(shell for version in 3.11 3.12 3.13; do \
	python$$version -c "" 2>/dev/null && echo python$$version && break; done),python3)
VENV ?= .venv
RUN = $(VENV)/bin/python

.PHONY: app test lint clean

app: $(VENV)/app.stamp
	$(RUN) app.py

test: $(VENV)/test.stamp lint
	$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/cluster
	$(RUN) -m pytest tests/cluster

lint: $(VENV)/test.stamp
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

$(VENV)/app.stamp: requirements.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -r requirements.txt -c constraints.txt
	touch $@

$(VENV)/test.stamp: $(VENV)/app.stamp requirements-dev.txt requirements-ray.txt
	$(RUN) -m pip install --quiet -r requirements-dev.txt -r requirements-ray.txt -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
