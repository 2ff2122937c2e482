"""Stored scripts: what hostile people can write into templates, versions, logs and names never runs in a browser."""

import pytest
from playwright.sync_api import expect

from coderproj.identity.models import User
from provisioning import jobs, logs
from provisioning.engine.base import LogLevel, Stage
from templates_app.models import RichParameter, Template, TemplateVersion
from tests.e2e.scene import line

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

# Each would set the title of the page.
ACT = "document.title='fired'"
PAYLOADS = [
    f"<script>{ACT}</script>",
    f"<ScRiPt>{ACT}</sCrIpT>",
    f"<script >{ACT}</script >",
    f"<script/x>{ACT}</script>",
    f"<<script>{ACT}//<</script>",
    f"</script><script>{ACT}</script>",
    f"</title><script>{ACT}</script>",
    f"</textarea><script>{ACT}</script>",
    f"--><script>{ACT}</script>",
    f"]]><script>{ACT}</script>",
    f'"><script>{ACT}</script>',
    f"'><script>{ACT}</script>",
    f'" autofocus onfocus="{ACT}" x="',
    f"' autofocus onfocus=\"{ACT}\" x='",
    f'" onmouseover="{ACT}" style="position:fixed;inset:0',
    f"<img src=x onerror={ACT}>",
    f'<img src=x onerror="{ACT}">',
    f"<img/src=x/onerror={ACT}>",
    f"<image src=x onerror={ACT}>",
    f"<svg onload={ACT}>",
    f"<svg/onload={ACT}>",
    f"<svg><script>{ACT}</script></svg>",
    f"<svg><animate onbegin={ACT} attributeName=x dur=1s>",
    f'<svg><a xlink:href="javascript:{ACT}"><text y=20>x</text></a></svg>',
    f"<math><mtext><script>{ACT}</script></mtext></math>",
    f"<body onload={ACT}>",
    f'<iframe srcdoc="<script>parent.{ACT}</script>"></iframe>',
    f'<iframe src="javascript:parent.{ACT}"></iframe>',
    f'<object data="javascript:{ACT}"></object>',
    f'<embed src="javascript:{ACT}">',
    f"<details open ontoggle={ACT}>x</details>",
    f"<video><source onerror={ACT}></video>",
    f"<audio src=x onerror={ACT}>",
    f"<input autofocus onfocus={ACT}>",
    f"<select autofocus onfocus={ACT}>",
    f"<marquee onstart={ACT}>x</marquee>",
    f"<style onload={ACT}></style>",
    f"<link rel=stylesheet href=x onerror={ACT}>",
    f'<meta http-equiv=refresh content="0;url=javascript:{ACT}">',
    f'<base href="javascript:{ACT}//">',
    f'<form action="javascript:{ACT}"><button>go</button></form>',
    f'<a href="javascript:{ACT}">x</a>',
    f'<a href="java&#10;script:{ACT}">x</a>',
    f'<a href="&#x6A;avascript:{ACT}">x</a>',
    f"[x](javascript:{ACT})",
    f"[x](JAVASCRIPT:{ACT})",
    f"[x](java\tscript:{ACT})",
    f"[x](&#106;avascript:{ACT})",
    f"[x](<javascript:{ACT}>)",
    f"[x][1]\n\n[1]: javascript:{ACT}",
    f"![x](javascript:{ACT})",
    f'![x](x" onerror="{ACT})',
    f"<javascript:{ACT}>",
    f"[x](data:text/html,<script>{ACT}</script>)",
    f"[x](vbscript:{ACT})",
    f"`<img src=x onerror={ACT}>`",
    f"```\n</code></pre><script>{ACT}</script>\n```",
    f"| <img src=x onerror={ACT}> |\n| --- |\n| x |",
    f"&lt;script&gt;{ACT}&lt;/script&gt;",
    f"\\<script>{ACT}</script>",
    "{{ 7|add:7 }}{% debug %}",
    f'<div hx-on:load="{ACT}" hx-get="/" hx-trigger="load">x</div>',
]


def test_there_are_enough_of_them():
    assert len(set(PAYLOADS)) >= 60


def test_no_stored_script_runs(page, scene, sign_in, problems):
    everything = "\n\n".join(PAYLOADS)
    version, job = scene.active, scene.running.job
    TemplateVersion.objects.filter(pk=version.pk).update(readme=everything, message=everything[:1024])
    RichParameter.objects.filter(template_version=version).update(default_value=everything, description=everything)
    RichParameter.objects.filter(template_version=version, name="cpu").update(name=everything[:256])
    hostile = PAYLOADS[0] + PAYLOADS[10] + PAYLOADS[15]
    Template.objects.filter(pk=scene.docker.pk).update(
        display_name=hostile[:64], description=hostile[:128], icon='x" onerror="document.title=1'
    )
    User.objects.filter(pk=scene.member.pk).update(name=hostile, username="<b>mira</b>")
    lines = [line(payload[:100], payload, level) for payload in PAYLOADS for level in LogLevel]
    logs.append(scene.lease.job_id, scene.lease.token, lines[: len(lines) // 2])

    sign_in(scene.owner)
    own = "/templates/acme/docker"
    paths = ["/templates", own, f"{own}/versions", f"{own}/versions/quiet_lovelace3", "/jobs", f"/jobs/{job.pk}"]
    for path in (*paths, f"{own}/versions/{scene.running.name}"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.mouse.move(400, 400)
        assert page.title() != "fired", path
        assert page.locator("main script, main iframe, main object, main embed, main img").count() == 0, path
        for link in page.locator("main a").all():
            assert (link.get_attribute("href") or "").startswith(("/", "#", "?", "http://", "https://")), path
    # The last page follows the log: what arrives by script is text as well.
    logs.append(scene.lease.job_id, scene.lease.token, lines[len(lines) // 2 :])
    expect(page.locator("#log-count")).to_have_text(str(4 + len(lines)))
    jobs.fail(scene.lease, everything)
    expect(page.locator(".live")).to_have_text("Finished")
    expect(page.locator("#version-head").get_by_role("alert")).to_be_visible()
    assert page.title() != "fired"
    assert page.locator("main script, main iframe, main object, main embed, main img").count() == 0
    assert problems == []


def test_stages_with_odd_names_are_shown_as_they_are(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"/templates/acme/docker/versions/{scene.running.name}")
    name = '"]<b>odd</b>\\'
    logs.append(scene.lease.job_id, scene.lease.token, [line(name), line(name, "inside"), line(Stage.CLEANING_UP)])
    expect(page.get_by_text("inside")).to_be_visible()
    expect(page.locator(".stage .name", has_text=name)).to_be_visible()
