# Everything a checkout needs. `make demo` and `make test` set up by themselves; the second time that is instant.

PYTHON ?= python3
JOBS ?= 2
# COVERAGE=--cov measures it, and asks for its threshold, as .ci/run does; it costs a sixth of the time.
COVERAGE ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench bench-full bench-peers bench-setup lint format clean

help:
	@echo "make demo     the whole of Hitherto on a year of flights, in about a screen"
	@echo "make test     every check and test"
	@echo "make bench    the benchmarks in a small size, within ten minutes; see docs/benchmarks.md"
	@echo "make bench-full  the same in full size, within an hour; writes docs/benchmarks.md"
	@echo "make lint     style, types and layers only"
	@echo "make format   put the style right"
	@echo "make setup    $(VENV), with uv where it is installed, else with venv and pip"
	@echo "make clean    remove what these made"

setup: $(STAMP)

# The stamp is as old as the last install: a changed pyproject.toml installs again.
$(STAMP): pyproject.toml
	@set -e; \
	if command -v uv > /dev/null; then \
		set -x; \
		test -x $(BIN)/python || uv venv $(VENV); \
		uv pip install --quiet --python $(BIN)/python --editable '.[dev]'; \
	else \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
			|| { echo "Hitherto needs Python 3.11 or newer; say which with: make setup PYTHON=python3.12" >&2; exit 1; }; \
		set -x; \
		test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
	fi
	@touch $@

demo: setup
	$(BIN)/hitherto demo

# A module stays on one worker, so that what its tests share is made once.
test: lint
	$(BIN)/pytest -n $(JOBS) --dist loadscope $(COVERAGE)

# Peers (Feast) live in an environment of their own, $(VENV)-peers, which is made when it is missing.
bench: bench-setup
	$(BIN)/python -m benchmarks --size small

bench-full: bench-setup
	$(BIN)/python -m benchmarks --size full

bench-peers: setup
	$(BIN)/python -m benchmarks.peers

bench-setup: setup
	@$(BIN)/python -c 'import matplotlib' 2> /dev/null || { \
		if command -v uv > /dev/null; then uv pip install --quiet --python $(BIN)/python --editable '.[bench]'; \
		else $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'; fi; }

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV)-peers benchmarks/.data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist hitherto-demo feature_repo/.hitherto
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
