"""The page that compares a version with another one."""

import pytest

from provisioning.engine import base
from provisioning.models import ParameterSchema, ProvisionerJob
from tests.factories import make_file, make_template, make_user, make_version
from tests.pages import browser, text_of
from tests.vocabulary import tar_of

pytestmark = pytest.mark.django_db


def result(*names: str, cost: int = 0) -> base.ImportResult:
    parameters = tuple(base.RichParameter(name=name, default_value="1") for name in names)
    plan = base.PlanResult(
        resources=(base.Resource(name="box", type="null_resource", daily_cost=cost),), rich_parameters=parameters
    )
    return base.ImportResult(start=plan, stop=base.PlanResult())


def with_files(version, owner, files):
    ProvisionerJob.objects.filter(pk=version.job_id).update(file=make_file(owner, tar_of(files)))


@pytest.fixture
def versions(owner, organization):
    """Three versions of one template."""
    template = make_template(user=owner, organization=organization, name="web", result=result("cpu"))
    first = template.active_version
    first.name = "first"
    first.save(update_fields=["name"])
    second = make_version(
        user=owner, organization=organization, template=template, name="second", result=result("cpu", "disk", cost=4)
    )
    third = make_version(user=owner, organization=organization, template=template, name="third", error="no")
    with_files(first, owner, {"main.tf": "a = 1\nb = 2\n", "old.tf": "x = 1\n"})
    with_files(second, owner, {"main.tf": 'a = 1\nb = "<b>3</b>"\n'})
    return first, second, third


def page_of(user, version, query=""):
    return browser(user).get(f"/templates/acme/web/versions/{version.name}/changes{query}")


def test_comparison_defaults_to_the_previous_version(owner, versions):
    answer = page_of(owner, versions[1])
    page, text = answer.content.decode(), text_of(answer)
    assert "against first" in text
    assert "main.tf" in text
    assert "Removed file" in text
    assert "<del>2</del>" in page
    assert "<ins>&quot;&lt;b&gt;3&lt;/b&gt;&quot;</ins>" in page
    assert "disk Added" in text
    assert "null_resource.box (start) Changed credits a day 0 now 4" in text


def test_added_items_show_unusual_values_only(owner, versions):
    ParameterSchema.objects.create(
        job_id=versions[1].job_id,
        index=0,
        name="token",
        default_source_scheme="data",
        default_source_value="hunter2",
        default_destination_scheme="provisioner_variable",
        redisplay_value=False,
    )
    text = text_of(page_of(owner, versions[1]))
    assert "variable token Added value is shown no" in text
    assert "may be overridden" not in text
    assert "hunter2" not in text


def test_comparison_with_any_other_version(owner, versions):
    first, second, _ = versions
    text = text_of(page_of(owner, first, "?with=second"))
    assert "against second" in text
    assert "disk Removed" in text
    assert "The template has no version nonsense" in text_of(page_of(owner, second, "?with=nonsense"))
    # A version is not compared with itself.
    assert "The template has no version second" in text_of(page_of(owner, second, "?with=second"))


def test_first_version_and_unattached_version_have_no_comparison(owner, organization, versions):
    assert "first is the first version of its template" in text_of(page_of(owner, versions[0]))
    lonely = make_version(user=owner, organization=organization)
    text = text_of(browser(owner).get(f"/versions/{lonely.pk}/changes"))
    assert f"{lonely.name} does not belong to a template yet" in text


def test_failed_import_compares_only_files(owner, versions):
    text = text_of(page_of(owner, versions[2]))
    assert "Known once both imports have succeeded: third Failed" in text
    assert "Removed" not in text.replace("Removed file", "")


def test_caller_without_source_access_sees_parameters_and_resources(organization, versions):
    member = make_user("mira", organizations=(organization,))
    text = text_of(page_of(member, versions[1]))
    assert "The source is visible to the user who uploaded it" in text
    assert "main.tf" not in text
    assert "disk Added" in text


def test_broken_archive_is_reported(owner, versions):
    ProvisionerJob.objects.filter(pk=versions[0].job_id).update(file=make_file(owner, b"rubbish" * 200))
    assert "broken" in text_of(page_of(owner, versions[1]))


def test_versions_link_to_their_changes(owner, versions):
    page = browser(owner).get("/templates/acme/web/versions").content.decode()
    assert "/templates/acme/web/versions/second/changes" in page
    assert "/templates/acme/web/versions/second/changes" in page_of(owner, versions[1]).content.decode()
