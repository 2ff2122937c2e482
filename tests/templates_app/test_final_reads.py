"""The results of a finished import are cached; every read checks the caller's access."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from coderproj.identity.models import ApiKey
from coderproj.reads.answer_cache import ENTRY_BYTES, AnswerCache
from provisioning.engine.base import LogLevel, LogLine, LogSource
from provisioning.log import writing
from provisioning.log.reading import PAGE_LINES
from provisioning.models import WorkspaceResource
from provisioning.queue import jobs
from templates_app.models import RichParameter, TemplateAccess
from tests.api import ApiClient
from tests.factories import claim, finish, make_organization, make_template, make_user, make_version
from tests.templates_app.views.test_versions import FOUND

pytestmark = pytest.mark.django_db
RESULTS = ("resources", "rich-parameters", "schema")
ENDPOINTS = (*RESULTS, "logs")


def line(output: str) -> LogLine:
    return LogLine(LogSource.ENGINE, LogLevel.INFO, "Planning", output, 1_800_000_000.0)


@pytest.fixture
def organization():
    return make_organization(is_default=True)


@pytest.fixture
def admin(organization):
    return make_user("ada", organizations=(organization,), organization_roles=("organization-admin",))


@pytest.fixture
def template(admin, organization):
    return make_template(user=admin, organization=organization, result=FOUND)


@pytest.fixture
def member(organization):
    return make_user("mel", organizations=(organization,))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_second_read_only_checks_access(endpoint, template, admin, member):
    path = f"templateversions/{template.active_version_id}/{endpoint}"
    first = ApiClient(admin).get(path)
    assert first.status_code == 200
    with CaptureQueriesContext(connection) as captured:
        second = ApiClient(member).get(path)
    assert second.status_code == 200
    assert second.raw == first.raw
    tables = ("workspaceresource", "richparameter", "parameterschema", "joblog")
    assert not [query for query in captured.captured_queries if any(table in query["sql"] for table in tables)]
    assert any("templates_app_templateaccess" in query["sql"] for query in captured.captured_queries)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_cached_results_are_only_for_callers_with_access(endpoint, template, member):
    path = f"templateversions/{template.active_version_id}/{endpoint}"
    api = ApiClient(member)
    assert api.get(path).status_code == 200
    assert ApiClient(make_user("eve")).get(path).status_code == 404
    TemplateAccess.objects.all().delete()
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_cached_caller_is_checked_again(endpoint, template, member):
    path = f"templateversions/{template.active_version_id}/{endpoint}"
    api = ApiClient(member)
    assert [api.get(path).status_code for _ in range(2)] == [200, 200]
    ApiKey.objects.filter(user=member).delete()
    assert api.get(path).status_code == 401


def test_a_failed_import_has_no_results(admin, organization, template):
    version = make_version(user=admin, organization=organization, template=template, error="it failed")
    api = ApiClient(admin)
    assert [api.get(f"templateversions/{version.pk}/resources").body for _ in range(2)] == [[], []]


def test_nothing_is_cached_before_the_import_has_ended(admin, organization, template):
    version = make_version(user=admin, organization=organization, template=template, finished=False)
    api = ApiClient(admin)
    for endpoint in RESULTS:
        assert api.get(f"templateversions/{version.pk}/{endpoint}").status_code in (400, 412)
    finish(version.job, result=FOUND)
    resources, parameters, _ = [api.get(f"templateversions/{version.pk}/{endpoint}").body for endpoint in RESULTS]
    assert len(resources) == WorkspaceResource.objects.filter(job=version.job).count() > 0
    assert len(parameters) == RichParameter.objects.filter(template_version=version).count() > 0


def test_versions_and_kinds_are_cached_separately(admin, organization, template):
    other = make_version(user=admin, organization=organization, template=template)
    api = ApiClient(admin)
    for _ in range(2):
        answers = {
            (version, endpoint): len(api.get(f"templateversions/{version}/{endpoint}").body)
            for version in (template.active_version_id, other.pk)
            for endpoint in ("resources", "rich-parameters")
        }
        assert list(answers.values()) == [len(FOUND.start.resources) + len(FOUND.stop.resources), 2, 0, 0]


def test_parts_of_a_finished_imports_log_are_cached_separately(admin, organization, template):
    version = make_version(user=admin, organization=organization, template=template, finished=False)
    api = ApiClient(admin)
    path = f"templateversions/{version.pk}/logs"
    assert api.get(path).body == []
    lease = claim()
    writing.append(version.job_id, lease.token, [line("one"), line("two")])
    assert [found["output"] for found in api.get(path).body] == ["one", "two"]
    writing.append(version.job_id, lease.token, [line("three")])
    jobs.complete(lease, FOUND)
    for _ in range(2):
        assert [found["output"] for found in api.get(path).body] == ["one", "two", "three"]
        assert [found["output"] for found in api.get(f"{path}?after=1").body] == ["two", "three"]
        assert [found["output"] for found in api.get(f"{path}?before=2").body] == ["one"]
    with pytest.raises(writing.LeaseLostWhileLogging):
        writing.append(version.job_id, lease.token, [line("four")])


def test_a_long_log_is_complete_when_its_first_page_is_cached(admin, organization, template):
    version = make_version(user=admin, organization=organization, template=template, finished=False)
    lease = claim()
    writing.append(version.job_id, lease.token, [line(f"line {n}") for n in range(PAGE_LINES + 7)])
    jobs.complete(lease, FOUND)
    api = ApiClient(admin)
    for _ in range(2):
        assert [found["id"] for found in api.get(f"templateversions/{version.pk}/logs").body] == list(
            range(1, PAGE_LINES + 8)
        )


def test_least_recently_used_answers_are_evicted():
    size = 10 + ENTRY_BYTES
    cache = AnswerCache(8 * size)
    for name in "abcdefgh":
        cache.put(name, (bytes(10), True))
    assert cache.get("a") == (bytes(10), True)
    cache.put("i", (bytes(10), True))
    assert [name for name in "abcdefghi" if cache.get(name) is None] == ["b"]
    cache.clear()
    assert cache.get("a") is None


def test_large_answers_are_not_cached_and_an_empty_cache_stores_nothing():
    cache = AnswerCache(8 * ENTRY_BYTES + 80)
    cache.put("large", (bytes(11), True))
    assert cache.get("large") is None
    nothing = AnswerCache(0)
    nothing.put("small", (b"[]", True))
    assert nothing.get("small") is None
