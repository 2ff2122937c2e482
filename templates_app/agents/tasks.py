"""What workers run periodically. No Django: idle workers import this module."""

from coderproj.worker.periodic import PeriodicTask

PERIODIC_TASKS = [
    PeriodicTask(
        "agent_statistics",
        "17 * * * *",
        has_work="SELECT EXISTS (SELECT FROM agents_agentstatistic WHERE created_at < now() - interval '30 days')",
        run="templates_app.agents.services.statistics.delete_old",
    )
]
