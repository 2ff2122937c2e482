from django.apps import AppConfig


class WorkerConfig(AppConfig):
    """The tables of Procrastinate, which runs periodic tasks.

    Procrastinate has a Django app as well. It would import the library into every process, which takes 100 ms, and add
    models that no part of the product needs.
    """

    name = "coderproj.worker"
    label = "worker"
    verbose_name = "Worker"
