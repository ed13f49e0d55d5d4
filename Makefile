# `make demo` and `make test` are all the set-up there is: each creates the virtual environment when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Rebuilt when the dependencies change, so an old checkout heals itself.
READY := $(VENV)/.ready

.PHONY: demo docs test test-expensive check format clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "Installing LEO and its tested dependencies into $(VENV) (a few minutes the first time) ..."
	@# torch first and alone: the constraints pin one version, and a CPU build found locally is then left alone.
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $(READY)

demo: $(READY)  ## one command: see what the library does
	$(BIN)/python examples/demo.py

test: $(READY)  ## the quick tests, on all cores
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not expensive"

test-expensive: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -m expensive

docs: $(READY)  ## the documentation, as a site in build/docs/
	$(BIN)/python -m sphinx -q -W --keep-going docs build/docs

check: $(READY)  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist runs .mypy_cache .pytest_cache .ruff_cache
