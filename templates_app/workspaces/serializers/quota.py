"""Serializers of quotas."""

from typing import Any

from rest_framework import serializers


class WorkspaceQuotaSerializer(serializers.Serializer[Any]):
    """Credits a day. A ``budget`` of -1 means that there is no limit."""

    credits_consumed = serializers.IntegerField()
    budget = serializers.IntegerField()
