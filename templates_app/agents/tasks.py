"""What workers run periodically. No Django: idle workers import this module."""

from coderproj.worker.periodic import PeriodicTask

# Twice a minute, so that figures are at most a minute old. What happened up to half a minute before the last pass makes
# another one: its transaction may have ended after the pass. Insights wait as ``statistics.calculating`` does.
STATISTICS_WORK = """
SELECT EXISTS (SELECT FROM templates_app_template template
                WHERE NOT EXISTS (SELECT FROM templates_app_templatestatistics known
                                   WHERE known.template_id = template.id))
    OR EXISTS (SELECT FROM templates_app_templatestatistics WHERE stale_from IS NOT NULL)
    OR EXISTS (
       SELECT FROM templates_app_statisticsprogress progress
        WHERE progress.until IS NULL OR progress.until > now()
           OR progress.counted_on IS DISTINCT FROM date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
           OR (coalesce(progress.insights_at + greatest(20000, 20 * progress.insights_ms) * interval '1 millisecond',
                        now()) <= now()
               AND (EXISTS (SELECT FROM templates_app_templatestatistics WHERE insights_are_stale)
                    OR (SELECT max(calculated_at) FILTER (WHERE template_id IS NOT NULL)
                               > coalesce(max(calculated_at) FILTER (WHERE template_id IS NULL
                                                                       AND organization_id IS NULL), '-infinity')
                          FROM templates_app_insights)))
           OR EXISTS (SELECT FROM provisioning_provisionerjob job
                       WHERE job.completed_at > progress.until - interval '30 seconds')
           OR EXISTS (SELECT FROM provisioning_provisionerjob job
                       WHERE job.completed_at IS NULL AND job.created_at > progress.until - interval '30 seconds')
           OR EXISTS (SELECT FROM agents_agentstatistic report
                       WHERE report.created_at > progress.until - interval '30 seconds')
           OR EXISTS (SELECT FROM templates_app_agenttime time
                       WHERE time.ready_at > progress.until - interval '30 seconds'))
"""

PERIODIC_TASKS = [
    PeriodicTask(
        "statistics",
        "* * * * * */30",
        has_work=STATISTICS_WORK,
        run="templates_app.agents.services.refreshing.run_task",
    ),
    PeriodicTask(
        "agent_statistics",
        "17 * * * *",
        has_work="SELECT EXISTS (SELECT FROM agents_agentstatistic WHERE created_at < now() - interval '30 days')",
        run="templates_app.agents.services.statistics.delete_old",
    ),
]
