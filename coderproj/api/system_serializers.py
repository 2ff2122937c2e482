"""Serializers of responses about the deployment."""

from typing import Any

from rest_framework import serializers


class BuildInfoSerializer(serializers.Serializer[Any]):
    external_url = serializers.CharField()
    version = serializers.CharField()


class AuthMethodsSerializer(serializers.Serializer[Any]):
    password = serializers.BooleanField()
    github = serializers.BooleanField()
    oidc = serializers.BooleanField()


class FeatureSerializer(serializers.Serializer[Any]):
    entitlement = serializers.ChoiceField(choices=["entitled", "not_entitled"])
    enabled = serializers.BooleanField()


class EntitlementsSerializer(serializers.Serializer[Any]):
    features = serializers.DictField(child=FeatureSerializer())
    warnings = serializers.ListField(child=serializers.CharField())
    errors = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]  # the API's name
    has_license = serializers.BooleanField()
    trial = serializers.BooleanField()
    experimental = serializers.BooleanField()


class UpdateCheckSerializer(serializers.Serializer[Any]):
    current = serializers.BooleanField()
    version = serializers.CharField()
    url = serializers.CharField()


class BannerSerializer(serializers.Serializer[Any]):
    enabled = serializers.BooleanField()


class AppearanceSerializer(serializers.Serializer[Any]):
    logo_url = serializers.CharField(allow_blank=True)
    service_banner = BannerSerializer()


class ApplicationsHostSerializer(serializers.Serializer[Any]):
    host = serializers.CharField(allow_blank=True)
