"""Cells of the lists of jobs. Tags rather than templates of their own: a list has up to a hundred of them."""

from typing import Protocol

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from coderproj.console.templatetags.console import DASH, short_id
from provisioning.models import ProvisionerJob
from provisioning.queue.subjects import Subject

register = template.Library()


class Row(Protocol):
    """What lists of jobs have in common."""

    @property
    def job(self) -> ProvisionerJob: ...
    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> Subject: ...
    @property
    def url(self) -> str: ...


@register.simple_tag
def job_link(row: Row) -> SafeString:
    """The job's kind and what it is about, else the beginning of its id, leading to its page."""
    name, muted = (row.subject.name, "") if row.subject.name else (short_id(row.job.pk), " muted")
    return format_html('<a href="{}">{} <span class="mono{}">{}</span></a>', row.url, row.kind, muted, name)


@register.simple_tag
def template_link(subject: Subject) -> SafeString:
    """The template that the job works for, leading to its page where it has one."""
    if subject.template_url:
        return format_html('<a href="{}">{}</a>', subject.template_url, subject.template)
    return format_html('<span class="muted">{}</span>', subject.template or DASH)
