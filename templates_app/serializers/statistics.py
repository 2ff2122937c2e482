"""Serializers of figures about usage."""

from typing import Any

from rest_framework import serializers


class WorkspaceQuotaSerializer(serializers.Serializer[Any]):
    credits_consumed = serializers.IntegerField()
    budget = serializers.IntegerField()
