# coderproj's commands; `make` alone lists them. Each first installs what it needs (see deploy/bootstrap.py).

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Without bytecode files every process compiles all its imports, which takes longer than the rest of its startup.
unexport PYTHONDONTWRITEBYTECODE

# The environment's own interpreter starts fastest. If it is broken or missing, the system's Python recreates it.
PYTHON ?= $(shell .venv/bin/python -I -S -c '' 2>/dev/null && echo .venv/bin/python || echo python3)
BOOTSTRAP := $(PYTHON) -I -S deploy/bootstrap.py
VENV := .venv/bin/python
ARGS ?=
SECTION ?=
# One more than the two cores that the suite is tuned for: tests spend a third of their time waiting.
WORKERS ?= 3

# The server in DATABASE_URL if it is set, else a fast temporary one.
ifdef DATABASE_URL
WITH_DATABASE :=
else
WITH_DATABASE := $(VENV) -m coderproj.postgres --test --
endif

# A test that fails runs once more, and the summary shows both tries: a machine that stops for seconds is no defect.
REPEAT ?= --reruns 1 --max-suite-reruns 8 --rerun-show-tracebacks

MIGRATIONS = $(wildcard */migrations */*/migrations)
# Versions and hashes without addresses: an installation uses the package index that pip is configured for.
COMPILE := $(VENV) -m uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --no-header

.PHONY: help setup demo up test coverage faults security check audit schema migrations lock bench pictures clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r name what; do \
		printf '  make %-10s %s\n' "$$name" "$$what"; \
	done

setup: ## install what is missing: packages, a Terraform engine, a PostgreSQL server, a sandbox
	@$(BOOTSTRAP) --again

demo: ## push a starter template to a server, import it, dry-run it, and build a workspace from it
	@$(BOOTSTRAP)
	@exec $(VENV) manage.py demo --reference "$(VENV) -m tests.bench.reference" $(ARGS)

up: ## serve console, API, log streams and a daemon on one port until stopped
	@$(BOOTSTRAP)
	@exec $(VENV) manage.py up $(ARGS)

test: ## run the tests; ARGS="tests/provisioning -x" for some of them
	@$(BOOTSTRAP)
	@exec $(WITH_DATABASE) $(VENV) -m pytest -n $(WORKERS) --dist worksteal $(REPEAT) $(ARGS)

coverage: ## run the tests and list uncovered lines; fail below the threshold in pyproject.toml
	@$(BOOTSTRAP)
	@exec $(WITH_DATABASE) $(VENV) -m pytest -n 2 --cov $(ARGS)

faults: ## kill, freeze and disconnect processes while jobs run, then count; ARGS="40 --seed 7"
	@$(BOOTSTRAP)
	@exec $(VENV) -W ignore -m tests.faults $(ARGS)

security: ## count all promises of security and reliability; ARGS="S1 A3" for some of them
	@$(BOOTSTRAP)
	@exec $(WITH_DATABASE) $(VENV) -m tests.security $(ARGS)

check: ## check style, words, types, import rules, migrations, API schema, deployment settings
	@$(BOOTSTRAP)
	@exec $(WITH_DATABASE) /bin/sh deploy/check.sh

audit: ## look for known vulnerabilities in the locked packages (needs the network)
	@$(BOOTSTRAP)
	@exec $(VENV) -m pip_audit --strict --progress-spinner off --require-hashes --disable-pip \
		$(addprefix -r ,requirements.lock $(sort $(wildcard deploy/locks/*.lock))) $(ARGS)

schema: ## write docs/openapi.yaml from the views
	@$(BOOTSTRAP)
	@$(WITH_DATABASE) $(VENV) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

migrations: ## write the migrations that the models need, formatted; ARGS="templates_app --name why"
	@$(BOOTSTRAP)
	@$(WITH_DATABASE) $(VENV) manage.py makemigrations $(ARGS)
	@$(VENV) -m ruff check --quiet --fix $(MIGRATIONS)
	@$(VENV) -m ruff format --quiet $(MIGRATIONS)

lock: ## resolve the dependencies of pyproject.toml; ARGS=--upgrade for the newest
	@$(BOOTSTRAP)
	@$(COMPILE) pyproject.toml --group dev -o requirements.lock $(ARGS)
	@$(COMPILE) pyproject.toml --constraint requirements.lock -o deploy/locks/runtime.lock
	@for part in terraform postgres sandbox; do \
		$(COMPILE) --group "$$part" --no-deps -o "deploy/locks/$$part.lock" $(ARGS); \
	done

bench: ## measure; SECTION=name for one part
	@$(BOOTSTRAP)
	@exec $(VENV) -m tests.bench $(SECTION) $(ARGS)

pictures: ## take a screenshot of every page; PICTURES=folder (default .data/pictures)
	@$(BOOTSTRAP)
	@exec $(WITH_DATABASE) $(VENV) -m pytest -n 0 -q tests/e2e/pictures.py $(ARGS)

clean: ## remove caches and build results, never data
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	@find . -name __pycache__ -not -path './.venv/*' -not -path './.data/*' -prune -exec rm -rf {} +
