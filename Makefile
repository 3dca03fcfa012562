# One environment in .venv serves every target; it is rebuilt only when the lock or pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Bytecode must exist, or every process compiles Airflow and Great Expectations again (6 s instead of 2 s a start).
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check venv bench ui clean
.DEFAULT_GOAL := demo

venv: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12")'
	@echo "Setting up .venv (about two minutes the first time)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
