"""Read the variables and parameters of a template from its files, without an import job.

No part of the template is run. Parameters whose fields only a plan can compute are left out.
"""

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

from coderproj.base.bounded import Task
from coderproj.base.errors import DomainError
from provisioning.engine import bounds
from provisioning.engine.base import EngineError, ParameterSchema, RichParameter
from provisioning.engine.hcl import TemplateSyntaxError, read_module
from provisioning.files.archive.rules import Members, read_tar

ENDINGS = (".tf", ".tf.json", ".tofu", ".tofu.json", ".tfvars", ".tfvars.json")
# Larger configurations can take too long to read for a page; they have no preview.
MAX_CONFIGURATION_BYTES = 128 * 1024
MAX_FILES = 300
PROBLEMS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class PreviewProblem:
    """A problem with its file and line; ``file`` is empty for a problem of the whole template."""

    text: str
    file: str = ""
    line: int = 0
    source_line: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """The ``variables`` of the root module, the ``parameters`` with literal fields only, and the ``problems`` that will
    make the import fail."""

    variables: tuple[ParameterSchema, ...] = ()
    parameters: tuple[RichParameter, ...] = ()
    problems: tuple[PreviewProblem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.variables or self.parameters or self.problems)


def preview_of(archive: bytes) -> Preview | None:
    """Return the preview of a plain tar; None if its configuration is too large."""
    with tempfile.TemporaryDirectory(prefix="preview-") as name:
        folder = Path(name)
        try:
            if not _unpack_configuration(archive, folder):
                return None
            module = read_module(folder)
            bounds.check(module.variables)
        except TemplateSyntaxError as error:
            found = (
                PreviewProblem(
                    text=problem.summary,
                    file=problem.location.file,
                    line=problem.location.line,
                    source_line=problem.source_line.strip(),
                )
                for problem in error.problems[:PROBLEMS_SHOWN]
            )
            return Preview(problems=tuple(found))
        except (EngineError, DomainError) as error:
            return Preview(problems=(PreviewProblem(str(error)),))
    return Preview(module.variables, module.literal_parameters)


def _unpack_configuration(archive: bytes, folder: Path) -> bool:
    """Write only the configuration files; False if they are too large. Raises Invalid for a broken archive."""
    size = count = 0
    for member, content in read_tar(io.BytesIO(archive), Members()):
        if member.is_directory or not member.path.endswith(ENDINGS):
            continue
        data = b"".join(content)
        size += len(data)
        count += 1
        if size > MAX_CONFIGURATION_BYTES or count > MAX_FILES:
            return False
        path = folder / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return True


PREVIEW = Task("templates_app.tasks.preview:PREVIEW", preview_of, bytes, Preview | None)
