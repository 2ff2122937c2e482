"""Expressions that build JSON text: nulls, escapes, and rejected values."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db.models import BinaryField, F, FloatField, Value
from django.db.models.functions import Cast, Concat, NullIf

from coderproj.api.serializers import MomentField
from coderproj.base.times import moment_text
from coderproj.identity.models import Organization, User
from coderproj.reads.json_sql import JsonObject, StoredJson, Timestamp
from coderproj.reads.serializers import json_list
from provisioning.models import ProvisionerJob
from provisioning.serializers.jobs import ProvisionerJobSerializer
from templates_app.models import TemplateVersion
from tests.factories import make_job, make_organization, make_user, make_version

pytestmark = pytest.mark.django_db
AWKWARD = 'a "b" \\ \n\t\x01 é € 😀 \u2028 % %s {} \' </script>'


def built(members: dict[str, Any], **options: Any) -> Any:
    (text,) = Organization.objects.values_list(JsonObject(members, **options), flat=True)
    return json.loads(text)


def test_texts_are_escaped_and_nulls_written_or_left_out():
    make_organization(name="acme", description=AWKWARD)
    nothing = NullIf(F("name"), Value("acme"))
    members = {"id": F("pk"), "description": F("description"), "nothing": nothing, "default": F("is_default")}
    organization = Organization.objects.get()
    expected = {"id": str(organization.pk), "description": AWKWARD, "nothing": None, "default": False}
    assert built(members) == expected
    del expected["nothing"]
    assert built(members, omit_absent=True) == expected


def test_empty_texts_may_be_left_out():
    organization = make_organization(name="acme", description="")
    members = {"name": F("name"), "description": F("description"), "same": Concat(F("description"), Value(""))}
    assert built(members, omit_empty=("description", "same")) == {"name": "acme"}
    organization.description = AWKWARD
    organization.save()
    expected = {"name": "acme", "description": AWKWARD, "same": AWKWARD}
    assert built(members, omit_empty=("description", "same")) == expected


def test_an_object_may_have_any_number_of_members():
    make_organization(name="acme")
    members = {f"member_{n}": F("name") for n in range(250)}
    assert built(members) == dict.fromkeys(members, "acme")


@pytest.mark.parametrize("text", ["", "active", "suspended", AWKWARD[:16], "Active"])
def test_a_text_is_the_same_whether_it_is_one_of_its_choices_or_not(text: str):
    user = make_user()
    User.objects.filter(pk=user.pk).update(status=text, avatar_url=text)
    users = User.objects.values_list(JsonObject({"status": F("status"), "avatar": F("avatar_url")}), flat=True)
    assert json.loads(users.get()) == {"status": text, "avatar": text}
    assert "WHEN 'active' THEN '\"active\"'::json" in str(users.query)
    assert "WHEN '' THEN '\"\"'::json" in str(users.query)


def test_objects_within_objects_are_one_text():
    make_organization(name="acme")
    inner = {f"member_{n}": F("name") for n in range(60)}
    members = {"first": JsonObject(inner), "id": F("pk"), "second": JsonObject({"deep": JsonObject(inner)})}
    expected = dict.fromkeys(inner, "acme")
    organization = str(Organization.objects.get().pk)
    few = JsonObject({"id": F("pk"), "in": JsonObject({"name": F("name")})})
    assert str(Organization.objects.values_list(few).query).count("concat(") == 1
    assert built(members) == {"first": expected, "id": organization, "second": {"deep": expected}}


def test_a_row_that_an_outer_join_does_not_find_is_null():
    organization = make_organization()
    make_version(user=make_user(organizations=(organization,)), organization=organization)
    members = {"id": F("pk"), "template": F("template__name")}
    (text,) = TemplateVersion.objects.values_list(JsonObject(members), flat=True)
    assert json.loads(text)["template"] is None


def test_what_has_no_form_is_refused():
    make_organization()
    for field in (FloatField(), BinaryField()):
        with pytest.raises(TypeError, match="do not know"):
            built({"x": Cast(Value("1"), output_field=field)})


def test_an_object_that_leaves_out_needs_a_first_member_that_is_always_there():
    make_organization(name="acme")
    with pytest.raises(TypeError, match="first member"):
        built({"nothing": NullIf(F("name"), Value("acme")), "name": F("name")}, omit_absent=True)
    with pytest.raises(TypeError, match="first member"):
        built({"description": F("description"), "name": F("name")}, omit_empty=("description",))


def test_an_empty_list_and_stored_json():
    organization = make_organization(name="acme")
    job = make_job(user=make_user(organizations=(organization,)), tags={"scope": "é", "owner": ""})
    (text,) = ProvisionerJob.objects.values_list(JsonObject({"tags": StoredJson(F("tags"))}), flat=True)
    assert text == '{"tags":{"owner":"","scope":"é"}}'
    rows = ProvisionerJob.objects.filter(pk=job.pk, error="none")
    (text,) = User.objects.filter(pk=job.initiator_id).values_list(json_list(rows, ProvisionerJobSerializer()))
    assert text == ("[]",)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC), "2026-01-31T12:00:00Z"),
        (datetime(2026, 1, 31, 12, 0, 50, tzinfo=UTC), "2026-01-31T12:00:50Z"),
        (datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC), "2026-01-31T12:00:00.25Z"),
        (datetime(2026, 1, 31, 12, 0, 0, 100, tzinfo=UTC), "2026-01-31T12:00:00.0001Z"),
        (datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC), "2026-01-31T12:00:00.123456Z"),
        (datetime(2026, 1, 31, 0, 30, tzinfo=timezone(timedelta(hours=2))), "2026-01-30T22:30:00Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_times_are_utc_without_zeros_at_the_end_in_python_and_in_sql(moment: datetime, text: str):
    make_organization(name="acme")
    assert moment_text(moment) == text
    assert MomentField().to_representation(moment) == text
    assert built({"at": Timestamp(Value(moment))}) == {"at": text}
