"""Messages from a provider to the author of a template."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from provisioning.engine.provider import tfplugin6_pb2 as pb

# Names of attributes and blocks, and indexes into lists: ("option", 2, "value").
AttributePath: TypeAlias = tuple[str | int, ...]


class Severity(IntEnum):
    ERROR = 1
    WARNING = 2


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One message. Terraform's JSON log shows summary and detail on separate lines, so each must be understandable
    alone. ``path`` leads Terraform to the line in the template."""

    summary: str
    detail: str
    path: AttributePath = ()
    severity: Severity = Severity.ERROR


class DiagnosticError(Exception):
    """Raised to end a provider call with diagnostics."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(diagnostic.summary for diagnostic in diagnostics))
        self.diagnostics = diagnostics


def path_message(path: AttributePath) -> pb.AttributePath:
    return pb.AttributePath(
        steps=[
            pb.AttributePath.Step(element_key_int=step)
            if isinstance(step, int)
            else pb.AttributePath.Step(attribute_name=step)
            for step in path
        ]
    )


def diagnostic_messages(diagnostics: Iterable[Diagnostic]) -> list[pb.Diagnostic]:
    return [
        pb.Diagnostic(
            severity=pb.Diagnostic.Severity.Name(diagnostic.severity),
            summary=diagnostic.summary,
            detail=diagnostic.detail,
            attribute=path_message(diagnostic.path) if diagnostic.path else None,
        )
        for diagnostic in diagnostics
    ]
