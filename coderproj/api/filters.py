"""The filter backend of every list: the filter set of the view, with the search language of ``base.filtering``."""

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from coderproj.base import filtering

if TYPE_CHECKING:  # importing it here would be circular: it loads these classes
    from coderproj.api.viewsets import ApiViewSet


class SearchFilterBackend(DjangoFilterBackend):
    """Applies ``filterset_class``, a ``filtering.FilterSet``, to the rows of a list.

    Pages filter through the same ``filtering.apply``. It raises Invalid with a problem for each bad parameter, and
    NotFound for a named object that the actor cannot see.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: "ApiViewSet") -> QuerySet[Any]:
        filter_set = self.get_filterset_class(view, queryset)
        if filter_set is None:
            return queryset
        return filtering.apply(filter_set, view.actor, request.query_params, queryset)
