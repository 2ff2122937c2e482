"""The addresses of the pages of jobs and daemons."""

from django.urls import path

from provisioning.pages import daemons, job, jobs, keys

urlpatterns = [
    path("jobs", jobs.JobsPage.as_view(), name="jobs"),
    path("jobs/<uuid:job>", job.JobPage.as_view(), name="job"),
    path("jobs/<uuid:job>/cancel", job.CancelJob.as_view(), name="cancel-job"),
    path("jobs/<uuid:job>/log.txt", job.JobLogText.as_view(), name="job-log"),
    path("daemons", daemons.DaemonsPage.as_view(), name="daemons"),
    path("daemons/keys", keys.DaemonKeys.as_view(), name="daemon-keys"),
    path("daemons/keys/new", keys.NewDaemonKey.as_view(), name="new-daemon-key"),
    path("daemons/keys/<uuid:key>/revoke", keys.RevokeDaemonKey.as_view(), name="revoke-daemon-key"),
    path("daemons/<uuid:daemon>", daemons.DaemonPage.as_view(), name="daemon"),
]
