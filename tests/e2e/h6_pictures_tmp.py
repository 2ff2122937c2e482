import os
import pytest
from datetime import timedelta
from django.utils import timezone
from coderproj.identity import groups, services
from coderproj.identity.actor import Actor
from coderproj.identity.groups import GroupChange
from coderproj.identity.models import Group, User, ApiKey
from coderproj.identity import users
from provisioning import keys
from provisioning.models import ProvisionerDaemon, ProvisionerJob
from templates_app.models import AccessRole, TemplateAccess
from tests.e2e.conftest import PHONE, WIDE
pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
LOOKS = {"light": ("light", WIDE), "dark": ("dark", WIDE), "phone": ("light", PHONE)}


def test_take(page, scene, sign_in):
    owner = Actor.of(scene.owner)
    made = groups.create_group(owner, scene.organization, name="data-science", quota_allowance=40)
    groups.update_group(owner, made, GroupChange(add_users=[str(scene.member.pk), str(scene.owner.pk)]))
    TemplateAccess.objects.create(template=scene.docker, group=made, role=AccessRole.USE)
    services.create_token(owner, user=scene.owner, lifetime_seconds=86_400 * 30, name="laptop")
    services.create_token(owner, user=scene.owner, lifetime_seconds=86_400 * 3, name="pipeline")
    services.create_token(owner, user=scene.member, lifetime_seconds=86_400 * 3, name="pipeline")
    ApiKey.objects.filter(name="pipeline").update(last_used=timezone.now() - timedelta(hours=3))
    keys.create(owner, scene.organization, name="builder-1", tags={"gpu": "a100"})
    keys.create(owner, None, name="builder-2")
    users.set_site_roles(owner, scene.member, ["template-admin", "auditor"])
    daemon = ProvisionerDaemon.objects.get(name="builtin-0")
    ProvisionerDaemon.objects.update(created_at=timezone.now() - timedelta(days=20))
    done = ProvisionerJob.objects.filter(completed_at__isnull=False)
    done.update(worker_id=daemon.pk)
    sign_in(scene.owner)
    paths = {
        "users": "/users", "user": f"/users/{scene.member.pk}", "new_user": "/users/new", "tokens": "/tokens", "new_token": "/tokens/new",
        "groups": "/groups", "group": f"/groups/{made.pk}", "organization": f"/organizations/{scene.organization.pk}",
        "daemons": "/daemons", "daemon": f"/daemons/{daemon.pk}", "keys": "/daemons/keys", "new_key": "/daemons/keys/new",
        "insights": "/insights", "audit": "/audit", "search": "/search?q=do", "organizations": "/organizations",
    }
    only = os.environ.get("ONLY", "").split(",") if os.environ.get("ONLY") else paths
    for name in only:
        for look, (scheme, size) in LOOKS.items():
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            page.goto(paths[name])
            height = min(page.evaluate("document.documentElement.scrollHeight"), 2200)
            page.set_viewport_size({"width": size["width"], "height": max(height, size["height"])})
            page.screenshot(path=f"/tmp/h6/{name}_{look}.png")
