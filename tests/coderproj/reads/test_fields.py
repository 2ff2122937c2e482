"""The allow-list of compiled reads: everything else is rejected when it is compiled, naming serializer and field."""

import json
from typing import Any

import pytest
from django.db.models import BinaryField, DateField, DateTimeField, DecimalField, F, FloatField, Value
from django.db.models.functions import Cast, Now, Upper
from rest_framework import serializers

from coderproj.api.serializers import AnswerSerializer, MomentField
from coderproj.identity.models import Group, Organization, User
from coderproj.reads.fields import FIELDS, compiles_to
from coderproj.reads.serializers import json_list, json_object
from provisioning.models import ProvisionerJob
from templates_app.models import Template, TemplateVersion
from tests.factories import make_organization, make_user

pytestmark = pytest.mark.django_db


class Shouting(serializers.CharField):
    """A field with its own ``to_representation``."""

    def to_representation(self, value: str) -> str:
        return value.upper()


class Named(serializers.CharField):
    """A field that is written as its base class does."""

    default_error_messages = {"odd": "An odd name."}


class FromElsewhere(serializers.CharField):
    def get_attribute(self, instance: Any) -> str:
        return "elsewhere"


class OwnRepresentation(serializers.ModelSerializer[Any]):
    class Meta:
        model = User
        fields = ["id"]

    def to_representation(self, instance: Any) -> Any:
        return {**super().to_representation(instance), "extra": 1}


class OwnList(serializers.ListSerializer[Any]):
    def to_representation(self, data: Any) -> Any:
        return []


class GroupSerializer(AnswerSerializer):
    class Meta:
        model = Group
        fields = ["id", "name"]


class ListedSerializer(GroupSerializer):
    class Meta(GroupSerializer.Meta):
        list_serializer_class = OwnList


def serializer_of(**members: Any) -> Any:
    """``PetSerializer`` with an id and these members, of an organization."""
    meta = type("Meta", (), {"model": Organization, "fields": ["id", *members]})
    return type("PetSerializer", (AnswerSerializer,), {"Meta": meta, **members})()


def compiled(serializer: Any, **annotations: Any) -> str:
    return str(Organization.objects.annotate(**annotations).values_list(json_object(serializer)).query)


REFUSED: dict[str, tuple[Any, str]] = {
    "own representation": (Shouting(source="name"), "Shouting is written by Shouting.to_representation"),
    "own attribute": (FromElsewhere(source="name"), "FromElsewhere has a get_attribute of its own"),
    "float": (serializers.FloatField(), "FloatField is written by FloatField.to_representation"),
    "decimal": (serializers.DecimalField(5, 2), "DecimalField is written by DecimalField.to_representation"),
    "date": (serializers.DateField(), "DateField is written by DateField.to_representation"),
    "time in another format": (serializers.DateTimeField(source="created_at"), "DateTimeField is written by"),
    "list": (serializers.ListField(), "ListField is written by ListField.to_representation"),
    "related": (serializers.StringRelatedField(), "StringRelatedField is written by"),
    "id in another format": (serializers.UUIDField(source="pk", format="hex"), "has another uuid_format"),
    "large number as text": (serializers.BigIntegerField(coerce_to_string=True), "has another coerce_to_string"),
    "number of a text": (serializers.IntegerField(source="name"), "it reads a CharField, not IntegerField"),
    "text of a boolean": (serializers.CharField(source="is_default"), "it reads a BooleanField, not CharField"),
    "JSON": (serializers.JSONField(), "JSONField is written by JSONField.to_representation"),
    "moment of a text": (MomentField(source="name"), "it reads a CharField, not DateTimeField"),
    "method without a twin": (serializers.SerializerMethodField(), "it needs sql_member(prefix)"),
    "source over several rows": (serializers.CharField(source="groups.name"), "goes through groups"),
    "object of several rows": (GroupSerializer(source="groups"), "goes through groups"),
    "list of one row": (GroupSerializer(many=True, source="name"), "not a relation of rows that point to this one"),
    "list over a dot": (GroupSerializer(many=True, source="groups.name"), "not a relation of rows"),
    "own list": (ListedSerializer(many=True, source="groups"), "it is a OwnList"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unsupported_field_is_refused_by_name(case):
    member, reason = REFUSED[case]
    with pytest.raises(TypeError) as caught:
        compiled(serializer_of(member=member))
    assert str(caught.value).startswith("cannot compile PetSerializer.member: ")
    assert reason in str(caught.value)


def test_a_serializer_with_its_own_representation_is_refused():
    with pytest.raises(TypeError, match="cannot compile OwnRepresentation: OwnRepresentation has its own"):
        json_object(OwnRepresentation())
    with pytest.raises(TypeError, match="cannot compile OwnRepresentation"):
        compiled(serializer_of(member=OwnRepresentation(source="*")))


@pytest.mark.parametrize(
    "column", [FloatField(), DecimalField(max_digits=5, decimal_places=2), DateField(), BinaryField()]
)
def test_an_unsupported_column_is_refused_when_it_is_compiled(column):
    annotation = Cast(Value("1"), output_field=column)
    with pytest.raises(TypeError, match=rf"PetSerializer\.member: it reads a {type(column).__name__}, not"):
        compiled(serializer_of(member=serializers.ReadOnlyField()), member=annotation)


class TemplateName(serializers.ModelSerializer[Any]):
    class Meta:
        model = Template
        fields = ["id", "name"]


@pytest.mark.parametrize(
    ("model", "member"),
    [
        (TemplateVersion, TemplateName(source="template")),
        (TemplateVersion, serializers.CharField(source="template.name")),
        (ProvisionerJob, serializers.CharField(source="template_version.name")),
    ],
    ids=["object", "text", "reverse one-to-one"],
)
def test_a_source_over_a_row_that_can_be_missing_is_refused(model, member):
    serializer = serializer_of(member=member)
    serializer.Meta.model = model
    with pytest.raises(TypeError, match=r"PetSerializer\.member: its source goes through \w+, which can be missing"):
        json_object(serializer)


def test_null_that_must_stay_needs_a_twin():
    serializer = serializer_of(member=serializers.CharField(source="name"))
    serializer.Meta.omit_absent = True
    serializer.Meta.keep_null = ("member",)
    with pytest.raises(TypeError, match=r"PetSerializer\.member: a member of keep_null needs sql_member"):
        compiled(serializer)


class PlainGroup(serializers.Serializer[Any]):
    label = Named(source="name")


class PetSerializer(AnswerSerializer):
    """Every kind of member that is supported."""

    label = Named(source="name")
    moment = MomentField(source="created_at")
    secret = serializers.CharField(source="name", write_only=True)
    shouted = serializers.SerializerMethodField()
    itself = PlainGroup(source="*")
    groups = GroupSerializer(many=True)

    class Meta:
        model = Organization
        fields = ["id", "label", "moment", "is_default", "secret", "shouted", "itself", "groups"]

    def get_shouted(self, organization: Organization) -> str:
        return organization.name.upper()

    def sql_shouted(self, prefix: str) -> Upper:
        return Upper(F(f"{prefix}name"))


class MembershipSerializer(AnswerSerializer):
    """A source with dots, and an object of another row."""

    username = serializers.CharField(source="user.username")
    organization = PetSerializer()

    class Meta:
        model = User.memberships.rel.related_model  # type: ignore[attr-defined]
        fields = ["organization_id", "username", "organization"]


def test_supported_members_are_written_as_the_serializer_writes_them():
    make_user("mel", organizations=(make_organization(name="acme"),))
    member = MembershipSerializer.Meta.model.objects.get()
    (text,) = type(member).objects.values_list(json_object(MembershipSerializer()), flat=True)
    assert json.loads(text) == json.loads(json.dumps(MembershipSerializer(member).data, default=str))
    rows = Organization.objects.filter(pk=member.organization_id)
    (text,) = User.objects.values_list(json_list(rows, PetSerializer()), flat=True)
    (listed,) = json.loads(text)
    assert "secret" not in listed
    assert listed["shouted"] == "ACME"


def test_a_class_of_ours_lists_itself_with_its_sql():
    @compiles_to(Upper, *FIELDS[serializers.CharField].columns)
    class ListedShouting(Shouting):
        def to_representation(self, value: str) -> str:
            return value.upper()

    try:
        make_organization(name="acme")
        (text,) = Organization.objects.values_list(
            json_object(serializer_of(member=ListedShouting(source="name"))), flat=True
        )
        assert json.loads(text)["member"] == "ACME"
    finally:
        del FIELDS[ListedShouting]


def test_a_time_of_an_expression_is_refused_without_its_type():
    annotation = Cast(Now(), output_field=DateTimeField())
    assert "AT TIME ZONE" in compiled(serializer_of(member=MomentField()), member=annotation)
    with pytest.raises(TypeError, match="it reads a DateTimeField"):
        compiled(serializer_of(member=serializers.ReadOnlyField()), member=annotation)
