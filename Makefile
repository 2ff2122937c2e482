# coderproj's commands; `make` alone lists them. Each sets up what it needs first (see deploy/bootstrap.py).

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Every process would compile all that it imports anew, which takes longer than all the rest of its start.
unexport PYTHONDONTWRITEBYTECODE

# The environment's own interpreter starts quickest; a broken or missing one is made anew by the system's.
PYTHON ?= $(shell .venv/bin/python -I -S -c '' 2>/dev/null && echo .venv/bin/python || echo python3)
BOOTSTRAP := $(PYTHON) -I -S deploy/bootstrap.py
VENV := .venv/bin/python
ARGS ?=
SECTION ?=
# One more than the two cores that the suite is made for: a third of its time is waiting.
WORKERS ?= 3

# A server of your own where DATABASE_URL names one, else a fast throw-away one.
ifdef DATABASE_URL
WITH_DATABASE :=
else
WITH_DATABASE := $(VENV) -m coderproj.postgres --test --
endif

.PHONY: help setup demo up test coverage faults check schema lock bench pictures clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r name what; do \
		printf '  make %-8s %s\n' "$$name" "$$what"; \
	done

setup: ## install what is missing: packages, a Terraform engine, a PostgreSQL server
	@$(BOOTSTRAP) --again

demo: ## push a starter template to a server, import it, make it a template, dry-run it
	@$(BOOTSTRAP)
	@exec $(VENV) manage.py demo --reference "$(VENV) -m tests.bench.reference" $(ARGS)

up: ## serve console, API, log streams and a daemon on one port until stopped
	@$(BOOTSTRAP)
	@exec $(VENV) manage.py up $(ARGS)

test: ## run the tests; ARGS="tests/provisioning -x" for some of them
	@$(BOOTSTRAP) --browser
	@exec $(WITH_DATABASE) $(VENV) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

coverage: ## run the tests, list the lines that none reached, fail below the bound of pyproject.toml
	@$(BOOTSTRAP) --browser
	@exec $(WITH_DATABASE) $(VENV) -m pytest -n 2 --cov $(ARGS)

faults: ## kill, freeze and cut off everything while jobs run, then count; ARGS="40 --seed 7"
	@$(BOOTSTRAP)
	@exec $(VENV) -W ignore -m tests.faults $(ARGS)

check: ## style, types, import rules, migrations, API schema, deployment settings
	@$(BOOTSTRAP)
	@exec $(WITH_DATABASE) /bin/sh deploy/check.sh

schema: ## write docs/openapi.yaml anew
	@$(BOOTSTRAP)
	@$(WITH_DATABASE) $(VENV) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

lock: ## resolve the dependencies of pyproject.toml anew; ARGS=--upgrade for the newest
	@$(BOOTSTRAP)
	@$(VENV) deploy/lock.py $(ARGS)

bench: ## measure; SECTION=name for one part
	@$(BOOTSTRAP)
	@exec $(VENV) -m tests.bench $(SECTION) $(ARGS)

pictures: ## photograph every page of the console; PICTURES=folder (default .data/pictures)
	@$(BOOTSTRAP) --browser
	@exec $(WITH_DATABASE) $(VENV) -m pytest -n 0 -q tests/e2e/pictures.py $(ARGS)

clean: ## remove caches and build results, never data
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	@find . -name __pycache__ -not -path './.venv/*' -not -path './.data/*' -prune -exec rm -rf {} +
