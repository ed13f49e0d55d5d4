# Each target creates the virtual environment if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The environment is updated when the dependencies change.
READY := $(VENV)/.ready
# Agents of a release, as algorithm-environment.
AGENTS := leodqn-GridWorld leosac-FetchReach leopqn-CraftaxClassic

.PHONY: demo docs pretrained test test-expensive check format clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "Installing LEO and its tested dependencies into $(VENV) (a few minutes the first time) ..."
	@# Install torch first, so that a local CPU build that satisfies the constraints is kept.
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $(READY)

demo: $(READY)  ## train an agent and write its results to runs/demo/
	$(BIN)/python examples/demo.py

test: $(READY)  ## the quick tests, on all cores
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not expensive"

test-expensive: $(READY)  ## tests that take minutes
	$(BIN)/python -m pytest -m expensive

pretrained: $(AGENTS:%=build/pretrained/%)  ## train the agents of a release into build/pretrained/

build/pretrained/%: | $(READY)
	$(BIN)/leo train $(subst -, ,$*) --folder runs/pretrained/$*
	$(BIN)/leo export runs/pretrained/$* --hub $@ --repo leo-rl/$*

docs: $(READY)  ## the documentation site in build/docs/
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
