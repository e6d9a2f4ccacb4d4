# make demo    convert the built-in sample and show the report
# make test    lint and tests, as CI runs them
# make test-all, lint, bench, clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A bare "torch" would take the newest build with gigabytes of CUDA libraries.
TORCH ?= torch==2.13.0
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test test-all lint bench clean

demo: $(VENV)/.installed
	$(BIN)/avatar-export demo --out build/demo
	@cat build/demo/report.md

test: lint
	$(BIN)/python -m pytest -m "not slow"

test-all: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.full_size
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.install
	$(BIN)/python -m benchmarks.check_speed
	$(BIN)/python -m benchmarks.fuzz_check
	$(BIN)/python -m benchmarks.ort_cost
	$(BIN)/python -m benchmarks.pass_costs
	$(BIN)/python -m benchmarks.pass_costs --graph avatar
	$(BIN)/python -m benchmarks.frame_speed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH)
	$(PIP) -e '.[dlc]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e '.[dlc,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
