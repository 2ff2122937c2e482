"""Hostile texts on every tab of a template: all stored values are shown as text, and none of them runs."""

import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Dialog, expect

from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, Group, User
from provisioning.engine.base import LogLevel
from provisioning.log import writing
from provisioning.models import (
    ParameterSchema,
    ProvisionerJob,
    WorkspaceAgent,
    WorkspaceApp,
    WorkspaceResource,
    WorkspaceResourceMetadata,
)
from provisioning.queue import jobs
from templates_app.models import AccessRole, RichParameter, Template, TemplateAccess, TemplateVersion
from templates_app.workspaces.models import BuildParameter, WorkspaceBuild
from tests.e2e.scene import line
from tests.e2e.scene_details import store_files
from tests.e2e.scene_statistics import add_statistics
from tests.e2e.scene_workspaces import add_workspaces
from tests.factories import make_user

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
TEMPLATE = "/templates/acme/docker"

# A payload that runs opens a dialog and sets a marker.
RUN = "alert(window.ran=1)"
PAYLOADS = [
    f"<script>{RUN}</script>",
    f"<SCRIPT>{RUN}</SCRIPT>",
    f"<script src=data:,{RUN}></script>",
    f"<script type=module>{RUN}</script>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"</script><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"</option></select><script>{RUN}</script>",
    f"</text></svg><script>{RUN}</script>",
    f"</pre><script>{RUN}</script>",
    f"</dd></dl><script>{RUN}</script>",
    f"--><script>{RUN}</script><!--",
    f"]]><script>{RUN}</script>",
    f'"><script>{RUN}</script>',
    f"'><script>{RUN}</script>",
    f"\\u003cscript\\u003e{RUN}\\u003c/script\\u003e",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"&#60;script&#62;{RUN}&#60;/script&#62;",
    f'" autofocus onfocus="{RUN}',
    f"' autofocus onfocus='{RUN}",
    f'" onmouseover="{RUN}" x="',
    f'" hx-on:load="{RUN}" hx-trigger="load" x="',
    f'" hx-get="data:text/html,{RUN}" hx-trigger="load" x="',
    f"` onload=`{RUN}",
    f"<img src=x onerror={RUN}>",
    f'<img src="x" onerror="{RUN}">',
    f"<img/src=x/onerror={RUN}>",
    f"<img src=x:x onerror\n={RUN}>",
    f"<img src=`x` onerror={RUN}>",
    f"<svg onload={RUN}>",
    f"<svg/onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f'<svg><use href="data:image/svg+xml,<svg onload={RUN}>#x"/></svg>',
    f'<svg><a xlink:href="javascript:{RUN}"><text y=20>x</text></a></svg>',
    f"<svg><foreignObject><body onload={RUN}></foreignObject></svg>",
    f"<math><mi xlink:href='javascript:{RUN}'>x</mi></math>",
    f"<body onload={RUN}>",
    f"<iframe srcdoc='<script>{RUN}</script>'></iframe>",
    f"<iframe src=javascript:{RUN}></iframe>",
    f"<object data=javascript:{RUN}></object>",
    f"<embed src=javascript:{RUN}>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<textarea autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}>",
    f"<dialog open onfocusin={RUN} tabindex=0>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<style onload={RUN}>*{{display:none}}</style>",
    f"<link rel=stylesheet href=x onerror={RUN}>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>",
    f"<base href='javascript:{RUN}//'>",
    f"<form action=javascript:{RUN}><button autofocus>x</button></form>",
    f"<button formaction=javascript:{RUN}>x</button>",
    f'<a href="javascript:{RUN}">x</a>',
    f'<a href="java&#10;script:{RUN}">x</a>',
    f"[x](javascript:{RUN})",
    f"[x](JaVaScRiPt:{RUN})",
    f"[x](&#106;avascript:{RUN})",
    f"[x](<java\tscript:{RUN}>)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    f"[x](vbscript:{RUN})",
    f"[x][1]\n\n[1]: javascript:{RUN}",
    f"![x](javascript:{RUN})",
    f'![x](x "onerror={RUN}")',
    f"<javascript:{RUN}>",
    f"`<img src=x onerror={RUN}>`",
    f"```\n</code></pre><script>{RUN}</script>\n```",
    f"| <img src=x onerror={RUN}> |\n| --- |\n| x |",
    f"javascript:{RUN}//.docker.png",
    "{{ 7|add:7 }}{% debug %}",
    f"${{{{constructor.constructor('{RUN}')()}}}}",
]
PATHS = (
    "/templates",
    TEMPLATE,
    f"{TEMPLATE}/versions",
    f"{TEMPLATE}/parameters",
    f"{TEMPLATE}/resources",
    f"{TEMPLATE}/insights",
    f"{TEMPLATE}/permissions",
    f"{TEMPLATE}/audit",
    f"{TEMPLATE}/settings",
    f"{TEMPLATE}/versions/quiet_lovelace3",
    f"{TEMPLATE}/versions/quiet_lovelace3/changes",
    f"{TEMPLATE}/versions/quiet_lovelace3/parameters",
    f"{TEMPLATE}/versions/quiet_lovelace3/resources",
    f"{TEMPLATE}/versions/quiet_lovelace3/files",
    f"{TEMPLATE}/versions/quiet_lovelace3/settings",
    f"{TEMPLATE}/versions/wise_dijkstra4",
    f"{TEMPLATE}/versions/wise_dijkstra4/retry",
    f"{TEMPLATE}/versions/eager_turing4",
    "/jobs",
    "/home",
    "/workspaces?show=all",
    "/@ada/dev",
    "/@ada/dev/builds/3",
    "/@ada/dev/stop",
    "/@ada/dev/delete",
    "/@ada/dev/update",
    "/@priya/gpu-training",
    "/@priya/gpu-training/builds/2",
    f"{TEMPLATE}/workspace",
    f"{TEMPLATE}/workspaces",
)


def text(number: int, length: int = 1000) -> str:
    """Return a payload that fits, by number."""
    fitting = [payload for payload in PAYLOADS if len(payload) <= length]
    return fitting[number % len(fitting)]


@pytest.fixture
def hostile(scene):
    """The scene with payloads in all stored texts."""
    version, everything = scene.active, "\n\n".join(PAYLOADS)
    _template_and_versions(scene, everything)
    _parameters(version, everything)
    _variables(version)
    _variables(scene.failed)
    _resources(version.job_id)
    _workspaces(scene, everything)
    _people(scene)
    ProvisionerJob.objects.filter(pk=scene.waiting.pk).update(tags={text(1): text(2), "scope": text(3)})
    ProvisionerJob.objects.filter(pk=scene.failed.job_id).update(error=everything)
    lines = [line(payload[:100], payload, level) for payload in PAYLOADS for level in LogLevel]
    writing.append(scene.lease.job_id, scene.lease.token, lines)
    files = {
        f"{number}-{name}.tf": payload for number, (name, payload) in enumerate(zip("abc", PAYLOADS, strict=False))
    }
    store_files(scene.owner, version, {"main.tf": everything, "<img src=x onerror=alert(1)>.tf": everything, **files})
    store_files(
        scene.owner, scene.running, {"main.tf": f'variable "x" {{\n  description = "{RUN}"\n  default = <b>\n}}'}
    )
    return scene


def _template_and_versions(scene, everything):
    hostile = json.dumps({"old": text(4), "new": everything})
    with audit.record(Actor.of(scene.owner), AuditAction.WRITE, scene.docker) as entry:
        Template.objects.filter(pk=scene.docker.pk).update(
            display_name=text(0, 64), description=text(5, 127), icon=text(72, 256)
        )
        scene.docker.refresh_from_db()
        entry.after = scene.docker
    with audit.record(Actor.of(scene.owner), AuditAction.WRITE, scene.active) as entry:
        TemplateVersion.objects.filter(pk=scene.active.pk).update(
            readme=everything, message=everything[:1024], unverified_providers=PAYLOADS, unverified_modules=[hostile]
        )
        scene.active.refresh_from_db()
        entry.after = scene.active


def _parameters(version, everything):
    RichParameter.objects.filter(template_version=version).delete()
    kinds = ("string", "number", "bool", "list(string)")
    options = [[{"name": text, "value": text, "description": text, "icon": text}] for text in PAYLOADS]
    RichParameter.objects.bulk_create(
        RichParameter(
            template_version=version,
            index=number,
            name=f"{number} {payload}"[:256],
            type=kinds[number % len(kinds)],
            description=payload if number else everything,
            default_value=payload,
            icon=payload,
            validation_error=payload,
            validation_regex=payload if number % 4 == 0 else "",
            options=options[number] if number % 3 else [],
        )
        for number, payload in enumerate(PAYLOADS)
    )


def _variables(version):
    ParameterSchema.objects.filter(job=version.job_id).delete()
    ParameterSchema.objects.bulk_create(
        ParameterSchema(
            job_id=version.job_id,
            index=number,
            name=f"{number} {payload}"[:64],
            description=payload,
            default_source_scheme="data",
            default_source_value=payload,
            default_destination_scheme="provisioner_variable",
            validation_error=payload[:256],
            validation_contains=[payload] if number % 2 else None,
        )
        for number, payload in enumerate(PAYLOADS)
    )


def _workspaces(scene, everything):
    found = add_workspaces(scene)
    WorkspaceBuild.objects.filter(workspace=found.dev).update(template_version=scene.active)
    running = WorkspaceBuild.objects.get(latest_of=found.dev)
    names = scene.active.rich_parameters.values_list("name", flat=True)
    BuildParameter.objects.filter(build=running).delete()
    BuildParameter.objects.bulk_create(
        BuildParameter(build=running, name=name, value=payload) for name, payload in zip(names, PAYLOADS, strict=True)
    )
    _resources(running.job_id)
    apps = WorkspaceApp.objects.filter(agent__resource__job=running.job_id)
    apps.update(external=True, url=f"javascript:{RUN}")
    failed = WorkspaceBuild.objects.get(latest_of=found.gpu)
    ProvisionerJob.objects.filter(pk=failed.job_id).update(error=everything)
    failed.job.logs.update(output=everything)
    add_statistics()


def _resources(job_id):
    for number, payload in enumerate(PAYLOADS):
        resource = WorkspaceResource.objects.create(
            job_id=job_id,
            workspace_transition="start" if number % 2 else "stop",
            type=payload[:192],
            name=payload[:64],
            icon=payload[:256],
        )
        WorkspaceResourceMetadata.objects.create(resource=resource, key=payload, value=payload)
        agent = WorkspaceAgent.objects.create(
            resource=resource, name=payload[:64], architecture=payload[:64], operating_system=payload[:64]
        )
        WorkspaceApp.objects.create(agent=agent, slug=payload[:64], display_name=payload[:64], icon=payload[:256])


def _people(scene):
    group = Group.objects.create(organization=scene.organization, name=text(6, 64))
    TemplateAccess.objects.create(template=scene.docker, group=group, role=AccessRole.USE)
    Group.objects.create(organization=scene.organization, name=text(7, 64))
    for number in range(8):
        user = make_user(f"x-{number}", organizations=(scene.organization,))
        name = f"{number}{text(number + 9, 30)}"
        User.objects.filter(pk=user.pk).update(username=name, name=text(number + 20, 128))
        TemplateAccess.objects.create(template=scene.docker, user=user, role=AccessRole.USE)


def check(page, own: str) -> None:
    """Assert that no payload ran, and that none became an executable part of the page."""
    path = urlsplit(page.url).path
    assert page.evaluate("window.ran") is None, path
    assert page.locator("main").locator("script, iframe, object, embed, img, style, link, base, meta").count() == 0, (
        path
    )
    handlers = page.evaluate(
        """() => [...document.querySelectorAll("main *")].flatMap((element) =>
            [...element.attributes].filter((given) => given.name.startsWith("on") || given.name.startsWith("hx-on")))
            .map((given) => given.name)"""
    )
    assert handlers == [], path
    links = page.evaluate(
        """() => [...document.querySelectorAll("main [href], main [action], main [formaction], main [src]")]
            .flatMap((element) => ["href", "action", "formaction", "src"].map((name) => element.getAttribute(name)))
            .filter((address) => address)"""
    )
    for address in links:
        assert urlsplit(address).scheme in {"", "http", "https", "mailto"}, (path, address)
    assert page.url.startswith(own), page.url


def dismiss(dialog: Dialog, dialogs: list[str]) -> None:
    dialogs.append(dialog.message)
    dialog.dismiss()


@pytest.mark.promise("S14")
def test_there_are_enough_payloads(measured):
    measured.add(payloads=len(set(PAYLOADS)))
    assert len(set(PAYLOADS)) >= 60


@pytest.mark.promise("S14")
def test_nothing_stored_runs_on_any_page(page, live_api, hostile, sign_in, problems, measured):
    dialogs: list[str] = []
    foreign: list[str] = []
    page.on("dialog", lambda dialog: dismiss(dialog, dialogs))
    page.on("request", lambda request: None if request.url.startswith(live_api.url) else foreign.append(request.url))
    sign_in(hostile.owner)
    for path in (*PATHS, f"/jobs/{hostile.waiting.pk}", f"/jobs/{hostile.running.job_id}"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.mouse.move(500, 400)
        check(page, live_api.url)
        assert RUN in page.locator("main").text_content(), f"{path} shows none of the texts"
        measured.add(pages=1, fired=len(dialogs))
        assert (dialogs, problems, foreign) == ([], [], []), path


@pytest.mark.promise("S14")
def test_payloads_in_htmx_parts_and_the_log_do_not_run(page, live_api, hostile, sign_in, problems):
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dismiss(dialog, dialogs))
    sign_in(hostile.owner)
    page.goto(f"{TEMPLATE}/parameters")
    first = page.locator("main form.trying input.input").first
    with page.expect_response(lambda response: response.url.endswith("/parameters/check")):
        first.fill(PAYLOADS[25])
    expect(page.locator("#preview")).to_contain_text(PAYLOADS[25])
    check(page, live_api.url)
    page.goto(f"{TEMPLATE}/permissions")
    with page.expect_response(lambda response: "/people?" in response.url):
        page.get_by_label("Add a user").press_sequentially("0")
    check(page, live_api.url)
    page.goto(f"{TEMPLATE}/versions/{hostile.running.name}")
    lines = [line(payload[:100], payload) for payload in PAYLOADS]
    writing.append(hostile.lease.job_id, hostile.lease.token, lines)
    jobs.fail(hostile.lease, "\n".join(PAYLOADS))
    expect(page.locator(".live")).to_have_text("Finished")
    check(page, live_api.url)
    assert (dialogs, problems) == ([], [])
