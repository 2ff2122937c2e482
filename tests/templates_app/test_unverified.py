"""A version imported with stubs is never applied."""

import pytest
from django.urls import reverse

from provisioning.engine.base import ImportResult, PlanResult
from templates_app.models import TemplateVersion, Unverified
from tests.factories import make_organization, make_user, make_version

PLANS = {"start": PlanResult(), "stop": PlanResult()}


def test_a_version_with_real_providers_and_modules_may_be_applied():
    version = TemplateVersion()
    assert version.is_verified
    version.require_verified()


@pytest.mark.parametrize("field", ["unverified_providers", "unverified_modules"])
def test_a_version_with_stubs_may_not_be_applied(field):
    version = TemplateVersion(**{field: ["acme/vpc/aws"]})
    assert not version.is_verified
    with pytest.raises(Unverified) as caught:
        version.require_verified()
    assert caught.value.status_code == 400
    assert "acme/vpc/aws" in caught.value.detail


@pytest.mark.django_db
def test_the_list_of_versions_marks_unverified_versions(client):
    owner = make_user(site_roles=("owner",))
    result = ImportResult(**PLANS, unverified_modules=("acme/vpc/aws",))
    make_version(user=owner, organization=make_organization(), result=result)
    client.force_login(owner)
    page = client.get(reverse("admin:templates_app_templateversion_changelist")).content.decode()
    assert "icon-no" in page
