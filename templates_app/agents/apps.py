from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """The agents of workspaces: what they report, and how clients find them."""

    name = "templates_app.agents"
    label = "agents"
    verbose_name = "Agents"
    contributions = {
        "agent_traffic": "templates_app.agents.pages.traffic.TRAFFIC",
        "compiled_reads": "templates_app.agents.reads.READS",
        "loop_responders": "templates_app.agents.coordination.continuing.RESPONDERS",
        "stream_services": "templates_app.agents.coordination.stream_services.STREAM_SERVICES",
    }
