# Two commands matter: `make app` starts Masquerade, `make test` checks everything.
PYTHON ?= python3.11
VENV ?= .venv
RUN = $(VENV)/bin/python

.PHONY: app test lint clean

app: $(VENV)/app.stamp
	$(RUN) app.py

test: $(VENV)/test.stamp lint
	$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/test.stamp
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

$(VENV)/app.stamp: requirements.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -r requirements.txt -c constraints.txt
	touch $@

$(VENV)/test.stamp: $(VENV)/app.stamp requirements-dev.txt
	$(RUN) -m pip install --quiet -r requirements-dev.txt -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
