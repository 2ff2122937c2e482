"""Read the insights that workers calculated (``calculating``). One query."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from templates_app.models import Insights
from templates_app.statistics import figures
from templates_app.statistics.figures import Figures


@dataclass(frozen=True, slots=True)
class Calculated:
    """Insights, and when they were calculated."""

    figures: Figures
    at: datetime


def of_template(template: uuid.UUID, days: int) -> Calculated | None:
    """Return the insights of the last days of a template; None if no worker has calculated any."""
    return _read(days, template=template)


def of_organization(organization: uuid.UUID | None, days: int) -> Calculated | None:
    """Return the insights of the last days of an organization, or of the deployment; None if there are none yet."""
    return _read(days, template=None, organization=organization)


def _read(days: int, **scope: uuid.UUID | None) -> Calculated | None:
    row = Insights.objects.filter(days=days, **scope).values_list("figures", "calculated_at").first()
    return Calculated(figures.read(row[0]), row[1]) if row else None
