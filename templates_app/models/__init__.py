"""Templates, versions, rich parameters, access lists, and figures about their use."""

from templates_app.models.access import AccessRole, TemplateAccess
from templates_app.models.presets import Preset
from templates_app.models.statistics import (
    AgentTime,
    DailyCount,
    DailyRuns,
    DailyUser,
    Insights,
    JobTime,
    Outcome,
    ParameterUse,
    StatisticsProgress,
    TemplateStatistics,
    TimedKind,
)
from templates_app.models.templates import RichParameter, Template, TemplateVersion, Unverified, VersionHtml

__all__ = [
    "AccessRole",
    "AgentTime",
    "DailyCount",
    "DailyRuns",
    "DailyUser",
    "Insights",
    "JobTime",
    "Outcome",
    "ParameterUse",
    "Preset",
    "RichParameter",
    "StatisticsProgress",
    "Template",
    "TemplateAccess",
    "TemplateStatistics",
    "TemplateVersion",
    "TimedKind",
    "Unverified",
    "VersionHtml",
]
