# `make up` runs the whole stack; `make test` passes the tests. Both do their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: up test test-containers test-containers-long test-faults lint bench lock clean

up: $(VENV)/.installed
	@$(BIN)/packetboat up $(ARGS)

test: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.run $(ARGS)

test-faults: $(VENV)/.installed-dev
	@PACKETBOAT_LONG=1 $(BIN)/pytest -m fault tests/faults $(ARGS)

# Builds the images and tests them on an engine: tests/containers/engine.sh makes one (Debian 12, root).
test-containers: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.run --containers $(ARGS)

test-containers-long: $(VENV)/.installed-dev
	@PACKETBOAT_LONG=1 $(BIN)/pytest -s -m container tests/containers $(ARGS)

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.bench $(ARGS)

# Pins every dependency with hashes and without index URLs; run it with the oldest Python we support.
lock:
	@sh deploy/lock.sh

$(VENV)/.installed: requirements.lock pyproject.toml
	@sh deploy/install.sh $(PYTHON) $(VENV) requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml
	@sh deploy/install.sh $(PYTHON) $(VENV) requirements-dev.lock
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
