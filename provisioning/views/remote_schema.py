"""The API schema of the daemons' requests, generated from the types that decode them."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from coderproj.api.schema import ErrorSerializer
from provisioning.protocol import wire

ViewT = TypeVar("ViewT", bound=Callable[..., Any])
REFERENCE = "#/components/schemas/"
PREFIX = "Daemon"
LEASE = OpenApiParameter(
    wire.LEASE_HEADER, OpenApiTypes.UUID, OpenApiParameter.HEADER, required=True, description="The job's lease."
)
JOB = OpenApiParameter("job", OpenApiTypes.UUID, OpenApiParameter.PATH)

Described = type[wire.Body] | type[wire.Answer]
# A type, or a function that returns it: some types depend on the job kinds.
Description = Described | Callable[[], Described]
_described: set[Description] = set()


def describe(operation_id: str, request: Description, answer: Description) -> Callable[[ViewT], ViewT]:
    """Describe an endpoint for daemons."""
    _described.update((request, answer))
    return extend_schema(
        operation_id=operation_id,
        parameters=_parameters(operation_id),
        request={"application/json": _reference(request)},
        responses=_responses(operation_id, "application/json", _reference(answer)),
    )


def describe_archive(operation_id: str) -> Callable[[ViewT], ViewT]:
    """Describe the endpoint of a job's source."""
    return extend_schema(
        operation_id=operation_id,
        parameters=_parameters(operation_id),
        responses=_responses(operation_id, "application/x-tar", OpenApiTypes.BINARY),
    )


def add_components(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the types to the schema (a hook of drf-spectacular)."""
    types = sorted(map(_type_of, _described), key=lambda described: described.__name__)
    # msgspec's annotation declares the same type for both returned values.
    made: Any = msgspec.json.schema_components(types, ref_template=f"{REFERENCE}{PREFIX}{{name}}")
    components: dict[str, Any] = made[1]
    schemas = result["components"]["schemas"]
    for name, schema in sorted(components.items()):
        del schema["title"]  # without the prefix: some are the names of other components
        schemas[PREFIX + name] = as_openapi(schema)
    result["components"]["schemas"] = dict(sorted(schemas.items()))
    return result


def as_openapi(schema: Any) -> Any:
    """Convert JSON Schema to OpenAPI 3.0, which has no type ``null``, no encodings and no bounds of property
    names."""
    if isinstance(schema, list):
        return [as_openapi(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: as_openapi(value) for name, value in schema.items() if name != "propertyNames"}
    if found.pop("contentEncoding", "") == "base64":
        found["format"] = "byte"
    if found.get("required") == []:
        del found["required"]
    choices = found.get("anyOf")
    if choices and {"type": "null"} in choices:
        others = [choice for choice in choices if choice != {"type": "null"}]
        del found["anyOf"]
        found |= {"allOf": others} if len(others) == 1 and "$ref" in others[0] else {}
        found |= others[0] if len(others) == 1 and "$ref" not in others[0] else {}
        found |= {"anyOf": others} if len(others) > 1 else {}
        found["nullable"] = True
    return found


def _type_of(described: Description) -> Described:
    return described if isinstance(described, type) else described()


def _reference(described: Description) -> dict[str, str]:
    return {"$ref": f"{REFERENCE}{PREFIX}{_type_of(described).__name__}"}


def _parameters(operation_id: str) -> list[OpenApiParameter]:
    return [JOB, LEASE] if _is_about_a_job(operation_id) else []


def _responses(operation_id: str, media_type: str, answer: Any) -> dict[Any, Any]:
    errors = {
        400: "The request body is invalid.",
        401: "The key is missing, unknown, expired or revoked.",
        422: "The content cannot be stored.",
    }
    if _is_about_a_job(operation_id):
        errors[409] = "The lease is not valid."
    else:
        errors[404] = "The daemon must register."
    described = {status: OpenApiResponse(ErrorSerializer, text) for status, text in sorted(errors.items())}
    return {(200, media_type): answer, **described}


def _is_about_a_job(operation_id: str) -> bool:
    return "provisioner_job" in operation_id and operation_id not in {
        "acquire_provisioner_job",
        "wait_for_provisioner_job",
    }
