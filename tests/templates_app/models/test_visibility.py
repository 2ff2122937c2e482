"""The optimized conditions for one template or version select the same rows as those for many."""

from dataclasses import replace

import pytest

from coderproj.identity.actor import Actor
from coderproj.identity.models import Group, GroupMembership, KeyScope
from templates_app.models import AccessRole, Template, TemplateAccess, TemplateVersion
from tests.factories import make_organization, make_template, make_user, make_version

pytestmark = pytest.mark.django_db


def test_the_condition_for_one_equals_the_condition_for_many():
    acme, other = make_organization("acme"), make_organization("other")
    author = make_user("author", organizations=(acme, other))
    people = {
        "owner": make_user("owner", site_roles=("owner",)),
        "auditor": make_user("auditor", site_roles=("auditor",)),
        "template admin": make_user("tina", site_roles=("template-admin",)),
        "admin of acme": make_user("ada", organizations=(acme,), organization_roles=("organization-admin",)),
        "member": make_user("mel", organizations=(acme,)),
        "listed": make_user("lia", organizations=(acme,)),
        "in a group": make_user("gus", organizations=(acme,)),
        "left": make_user("leo", organizations=(other,)),
        "outside": make_user("olga"),
    }
    group = Group.objects.create(organization=acme, name="readers")
    for name in ("in a group", "left"):
        GroupMembership.objects.create(group=group, user=people[name])
    open_one = make_template(user=author, organization=acme, name="open")
    closed = make_template(user=author, organization=acme, name="closed", everyone=False)
    make_template(user=author, organization=acme, name="gone", deleted=True)
    foreign = make_template(user=author, organization=other, name="foreign")
    TemplateAccess.objects.create(template=closed, user=people["listed"], role=AccessRole.USE)
    TemplateAccess.objects.create(template=closed, group=group, role=AccessRole.ADMIN)
    TemplateAccess.objects.create(template=foreign, user=people["outside"], role=AccessRole.ADMIN)
    for template in (open_one, closed, foreign):
        make_version(user=author, organization=template.organization, template=template)
    make_version(user=author, organization=acme)
    make_version(user=people["member"], organization=acme)

    seen = {}
    for name, user in people.items():
        actor = Actor.of(user)
        for who in (actor, replace(actor, scope=KeyScope.APPLICATION_CONNECT)):
            for model in (Template, TemplateVersion):
                many = set(model.objects.visible(who).values_list("pk", flat=True))
                one = {
                    pk
                    for pk in model.objects.values_list("pk", flat=True)
                    if model.objects.visible_one(who).filter(pk=pk).exists()
                }
                assert one == many, (name, who.scope, model)
                hidden = set(model.objects.exclude(pk__in=model.objects.visible_one(who)).values_list("pk", flat=True))
                assert hidden == set(model.objects.values_list("pk", flat=True)) - many
        seen[name] = sorted(Template.objects.visible(actor).values_list("name", flat=True))
    everything = ["closed", "foreign", "open"]
    assert seen == {
        "owner": everything,
        "auditor": everything,
        "template admin": everything,
        "admin of acme": ["closed", "open"],
        "member": ["open"],
        "listed": ["closed", "open"],
        "in a group": ["closed", "open"],
        "left": ["foreign"],
        "outside": ["foreign"],
    }
