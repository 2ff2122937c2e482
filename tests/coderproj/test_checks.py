"""Deploy checks."""

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from coderproj import checks


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
