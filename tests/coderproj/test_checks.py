"""System checks."""

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from coderproj import checks
from provisioning.protocol.kinds import JobKind


@pytest.mark.parametrize("missing", ["PageCsrfMiddleware", "PageSecurityMiddleware", "PageClickjackingMiddleware"])
def test_missing_page_protection_is_an_error(settings, missing):
    assert checks.pages_are_protected(None) == []
    settings.MIDDLEWARE = [path for path in django_settings.MIDDLEWARE if not path.endswith(missing)]
    assert [message.id for message in checks.pages_are_protected(None)] == ["coderproj.E001"]


def test_plain_http_is_a_warning(settings):
    settings.SECURE = False
    assert [message.id for message in checks.access_url_is_https(None)] == ["coderproj.W001"]
    settings.SECURE = True
    assert checks.access_url_is_https(None) == []


def test_missing_sandbox_is_a_warning_that_fails_the_deploy_check(settings):
    settings.PROVISIONER_SANDBOX = "off"
    assert [message.id for message in checks.sandbox_is_on(None)] == ["coderproj.W002"]
    with pytest.raises(SystemCheckError):
        call_command("check", deploy=True, fail_level="WARNING")


def test_missing_files_of_providers_are_warnings(settings, monkeypatch, tmp_path):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    settings.DATA_DIR = tmp_path
    assert checks.sources_of_providers_exist(None) == []
    settings.PROVISIONER_CLI_CONFIG = "/none/operator.rc"
    settings.PROVISIONER_READ_PATHS = ["/none/kubeconfig"]
    settings.PROVISIONER_SOCKETS = [str(tmp_path)]
    found = checks.sources_of_providers_exist(None)
    assert {message.id for message in found} == {"coderproj.W003"}
    assert [message.msg for message in found] == [
        "Providers: PROVISIONER_READ_PATHS: /none/kubeconfig does not exist.",
        f"Providers: PROVISIONER_SOCKETS: {tmp_path} is not a socket.",
        "Providers: PROVISIONER_CLI_CONFIG: cannot read /none/operator.rc: No such file or directory.",
    ]


# ---------------------------------------------------------------------- contributions
SAME_TWICE = [JobKind(type="twice", label="A"), JobKind(type="twice", label="B")]
WITHOUT_FUNCTION = [JobKind(type="odd", label="Odd", completed="templates_app.services.jobs.no_such_function")]
NO_LIST = "text"
HERE = "tests.coderproj.test_checks"
NOT_DEFINED = f'Module "{HERE}" does not define a "NO_ENTRIES" attribute/class'
URLS = ("coderproj.accounts.pages.urls", "provisioning.pages.urls", "templates_app.pages.urls")


def test_contributions_of_the_installed_apps_are_valid():
    assert checks.contributions_exist(None) == []
    assert checks.job_kinds_are_complete(None) == []


@pytest.mark.parametrize(
    ("kind", "path", "code", "message"),
    [
        ("navigatoin", f"{HERE}.SAME_TWICE", "E010", "coderproj contributes the unknown kind 'navigatoin'."),
        (
            "navigation",
            "no.such.ENTRIES",
            "E011",
            "coderproj contributes navigation at no.such.ENTRIES, which cannot be imported: No module named 'no'",
        ),
        (
            "navigation",
            f"{HERE}.NO_ENTRIES",
            "E011",
            f"coderproj contributes navigation at {HERE}.NO_ENTRIES, which cannot be imported: {NOT_DEFINED}",
        ),
        (
            "navigation",
            f"{HERE}.NO_LIST",
            "E011",
            f"coderproj contributes navigation at {HERE}.NO_LIST, which is not a list.",
        ),
    ],
)
def test_wrong_contributions_are_errors(contribute, kind, path, code, message):
    contribute(kind, path)
    assert [(error.id, error.msg) for error in checks.contributions_exist(None)] == [(f"coderproj.{code}", message)]
    with pytest.raises(SystemCheckError):
        call_command("check")


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        (f"{HERE}.SAME_TWICE", "E012", "The table of job kinds is wrong: the job kind twice is declared twice."),
        (
            f"{HERE}.WITHOUT_FUNCTION",
            "E013",
            "The job kind odd names templates_app.services.jobs.no_such_function, which cannot be imported:",
        ),
        (f"{HERE}.WITHOUT_FUNCTION", "E014", f"Apps contribute the job kinds {HERE}.WITHOUT_FUNCTION, templates_app."),
    ],
)
def test_wrong_job_kinds_are_errors(contribute, path, code, message):
    contribute("job_kinds", path)
    found = {error.id: error.msg for error in checks.job_kinds_are_complete(None)}
    assert found[f"coderproj.{code}"].startswith(message)


def test_contributions_of_a_test_end_with_it(contribute):
    from coderproj.base.contributions import contributions

    before = contributions("navigation")
    with pytest.raises(LookupError):
        contributions("navigatoin")
    contribute("navigation", f"{HERE}.SAME_TWICE")
    assert contributions("navigation") == (*SAME_TWICE, *before)
    contribute("navigation", f"{HERE}.SAME_TWICE", alone=True)
    assert contributions("navigation") == tuple(SAME_TWICE)


@pytest.mark.parametrize("module", URLS)
def test_importing_pages_registers_nothing(module):
    """Importing a module of pages only defines its routes and calls nothing in other modules."""
    import ast
    import importlib
    import inspect

    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    assert [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)] == []
