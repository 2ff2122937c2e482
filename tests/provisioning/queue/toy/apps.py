from django.apps import AppConfig


class ToyConfig(AppConfig):
    """The test app."""

    name = "tests.provisioning.queue.toy"
    contributions = {"job_kinds": "tests.provisioning.queue.toy.job_kinds.KINDS"}
