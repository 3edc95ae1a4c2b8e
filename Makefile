# Everything that is done with this checkout. A machine needs Python 3.11 or later and make, nothing else:
# Go, if it is missing, is installed from PyPI into the cache when the test bed is built for the first time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV_VERSION := 0.13.8

# What `make test` hands on to pytest, e.g. make test ARGS="tests/unit -k pin".
ARGS ?=
# Peers, and identities, in `make bench`; several numbers are measured one after another.
N ?= 1000
IDENTITIES ?= 1000

TESTBED = PYTHONPATH=tests $(BIN)/python -m testbed

.DEFAULT_GOAL := help
.PHONY: help install test check demo cluster cluster-down testbed postgresql crds bench lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Make .venv with everything; .venv/bin/bilateral is the command

$(STAMP): pyproject.toml requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or later is needed; name one with make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "error: $(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

testbed: install  ## Build etcd, API server, controllers, kubectl and helm (once; kept in the cache)
	@$(TESTBED) build

postgresql: install  ## Install Debian's PostgreSQL server for the tests, if it is missing (root only)
	-@$(TESTBED) postgresql

test: install testbed postgresql  ## Run all tests; ARGS goes to pytest
	@$(BIN)/pytest $(ARGS)

check: install testbed  ## Format, lint, types, import contracts, generated files, chart
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m bilateral.resources.crds --check crds
	$(BIN)/python -m bilateral.reference --check docs/reference.md
	$(TESTBED) lint-chart

demo: install  ## Two clusters, two organisations, one story; KEEP=1 leaves it running
	@PYTHONPATH=tests $(BIN)/python demo/run.py

cluster: install  ## Start a cluster with the CRDs: make cluster DIR=folder
	@test -n "$(DIR)" || { echo "error: say where: make cluster DIR=folder" >&2; exit 1; }
	@$(TESTBED) up --crds "$(DIR)"

cluster-down: install  ## End it again: make cluster-down DIR=folder
	@test -n "$(DIR)" || { echo "error: say which: make cluster-down DIR=folder" >&2; exit 1; }
	@$(TESTBED) down "$(DIR)"

crds: install  ## Generate crds/ and docs/reference.md from the types in bilateral.resources
	@$(BIN)/python -m bilateral.resources.crds crds
	@$(BIN)/python -m bilateral.reference docs/reference.md

bench: install testbed  ## Run the benchmarks (N peers, IDENTITIES); each prints a table and one JSON line
	@status=0; \
	for each in accept.py client.py endpoint.py "identities.py $(IDENTITIES)" "peers.py $(N)" policy.py; do \
	  PYTHONPATH=tests:. $(BIN)/python bench/$$each || status=1; \
	done; \
	exit $$status

lock: install  ## Resolve the dependencies anew into requirements/*.lock
	@$(PYTHON) -m venv .cache/lock
	@.cache/lock/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	.cache/lock/bin/uv pip compile --quiet --system-certs --no-header --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	  --extra operator --extra postgresql --group dev pyproject.toml --output-file requirements/dev.lock
	.cache/lock/bin/uv pip compile --quiet --system-certs --no-header --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	  --extra operator --extra postgresql --constraint requirements/dev.lock pyproject.toml --output-file requirements/operator.lock

clean:  ## Remove .venv and everything generated here (the cache of built programs stays)
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
