#!/bin/sh
# The checks of `make check`, which run no tests but that of our words. Stops at the first failure.
set -eu
python=.venv/bin/python

step() {
    printf 'check: %s\n' "$1"
    shift
    "$@"
}

schema_is_current() {
    fresh=$(mktemp)
    trap 'rm -f "$fresh"' EXIT
    "$python" manage.py spectacular --validate --fail-on-warn --file "$fresh"
    diff -u docs/openapi.yaml "$fresh" || {
        echo 'docs/openapi.yaml is out of date: run `make schema`' >&2
        return 1
    }
}

# The settings of a real deployment: Django's deployment checks then find problems of the product, not missing settings.
deployment_settings() {
    CODERPROJ_DEBUG=false \
    CODERPROJ_ACCESS_URL=https://coderproj.example.com \
    CODERPROJ_SECRET_KEY="$("$python" -c 'import secrets; print(secrets.token_urlsafe(64))')" \
        "$python" manage.py check --deploy --fail-level WARNING
}

step 'style' "$python" -m ruff check --quiet
step 'format' "$python" -m ruff format --check --quiet
step 'words' "$python" -m pytest -q --no-header tests/test_words.py
step 'types' "$python" -m mypy
step 'import rules' "$python" -c 'from importlinter.cli import lint_imports_command; lint_imports_command(["--no-logo"])'
step 'migrations' "$python" manage.py makemigrations --check --dry-run
step 'API schema' schema_is_current
step 'deployment settings' deployment_settings
