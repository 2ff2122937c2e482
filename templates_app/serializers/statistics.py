"""Serializers of figures about usage."""

from typing import Any

from rest_framework import serializers


class WorkspacesSerializer(serializers.Serializer[Any]):
    workspaces = serializers.ListField(child=serializers.DictField())
    count = serializers.IntegerField()


class WorkspaceQuotaSerializer(serializers.Serializer[Any]):
    credits_consumed = serializers.IntegerField()
    budget = serializers.IntegerField()
