# One environment in .venv serves every target; it is rebuilt only when the lock or pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP_LOG := $(VENV)/setup.log

# Bytecode must exist, or every process compiles Airflow and Great Expectations again: 6 s instead of 2 s a start.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX :=

.DEFAULT_GOAL := demo
.PHONY: demo year examples test check style types secrets faults audit sbom venv bench mutation ui lock generated clean

demo: venv          ## the whole pipeline on made-up trusts, run by Airflow; results in demo-output/
	@$(BIN)/ips demo --airflow --out demo-output

year: venv          ## a year of one made-up trust's returns: approvals, a rejection, two resubmissions, what came back; about five minutes
	@$(BIN)/ips demo --year

examples: venv      ## the five worked sites of examples/, one after the other; says so if a README.md no longer shows their figures
	@for name in $$($(BIN)/ips examples list --names); do $(BIN)/ips examples run $$name --out demo-output/examples/$$name --readme check || exit; done

test: venv check    ## every check and every test
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: venv         ## style, types and layers of the code; faults, secrets and known vulnerabilities; the bill of materials
	@$(MAKE) --no-print-directory -j 2 secrets types faults style audit sbom

style:              # of Python, and whether docker-compose.yml is what its published schema allows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

types:
	@$(BIN)/mypy

faults:             # patterns that are known to let attackers in; what is let pass, and why, is in pyproject.toml
	@$(BIN)/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive ips_pipeline dags

secrets:            # in any file under version control; made-up ones of the tests are in .ci/security.toml
	@$(BIN)/python .ci/security.py secrets

audit:              # known vulnerabilities, where a service that knows them answers; says so where none does
	@$(BIN)/python .ci/security.py audit requirements.lock

sbom: build/sbom.cdx.json

build/sbom.cdx.json: requirements-production.lock pyproject.toml
	@mkdir -p build
	@$(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible --output-file $@ requirements-production.lock

bench: venv         ## speed and memory on large made-up inputs; minutes, not part of the tests
	@$(BIN)/python -m benchmarks.measures
	@$(BIN)/python -m benchmarks.measures --people 36000 --months 13 --ips-percent 100 --dashboard
	@$(BIN)/python -m benchmarks.validation --people 25000 50000 100000
	@$(BIN)/python -m benchmarks.validation --small 1000 --repeat 1
	@$(BIN)/python -m benchmarks.dve

mutation: venv      ## how many small faults in the SQL of the measures the golden cases notice; thousands, a second each, not part of the tests
	@$(BIN)/python -m benchmarks.mutation

ui: venv            ## Airflow on this machine: API server, scheduler, DAG processor, triggerer
	@$(BIN)/python -m dags.ui

generated: venv     ## write again what is generated from the standard: suites, table definitions, field documentation
	@$(BIN)/python -m ips_pipeline.quality.gate --write
	@$(BIN)/python -m ips_pipeline.mhsds.render docs
	@$(BIN)/python -m ips_pipeline.measures.handbook docs

# Of pip itself the lock has none: installing would replace it while it runs.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
  --no-emit-package pip --extra build --extra postgres --extra airflow-postgres --extra mysql --extra mssql --extra oracle --extra celery --extra accdb

lock: venv          ## resolve the dependencies again into requirements.lock and, without what only tests need, requirements-production.lock (needs uv)
	@$(LOCK) --extra dev pyproject.toml --output-file requirements.lock
	@$(LOCK) --constraint requirements.lock pyproject.toml --output-file requirements-production.lock

clean:              ## remove what the other targets made
	@rm -rf $(VENV) build benchmarks/.dve demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

venv: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12")'
	@echo "Setting up .venv, about two minutes the first time"
	@$(PYTHON) -m venv --clear $(VENV)
	@{ $(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements.lock \
	  && $(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable . ; } > $(SETUP_LOG) 2>&1 \
	  || { tail -n 20 $(SETUP_LOG); echo "The environment could not be set up; $(SETUP_LOG) has the details"; exit 1; }
	@touch $@
