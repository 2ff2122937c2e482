"""What a template will ask for, read from its files at once: before a daemon has imported it, and without one.

Nothing of the template is run. What only a plan can tell, such as parameters whose fields are computed, is left out.
"""

import io
import tempfile
import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from coderproj.base.errors import DomainError
from provisioning.engine.base import EngineError, ParameterSchema, RichParameter
from provisioning.engine.hcl import TemplateSyntaxError, read_module
from provisioning.files import stored
from provisioning.files.archive.rules import Members, read_tar
from provisioning.models import File
from templates_app.source import MAX_ARCHIVE_BYTES

ENDINGS = (".tf", ".tf.json", ".tofu", ".tofu.json")
# Reading more than this takes longer than people wait for a page, however it is written: the import will tell.
MAX_CONFIGURATION_BYTES = 128 * 1024
MAX_FILES = 300
PROBLEMS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class FoundProblem:
    """What is wrong with the files, and in which line of which; ``file`` is empty when it is about the whole."""

    text: str
    file: str = ""
    line: int = 0
    source_line: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """``variables`` of the root module, ``parameters`` of which every field is written out, and ``problems`` that the
    import will fail with."""

    variables: tuple[ParameterSchema, ...] = ()
    parameters: tuple[RichParameter, ...] = ()
    problems: tuple[FoundProblem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.variables or self.parameters or self.problems)


@lru_cache(maxsize=256)
def preview_of_file(file_id: uuid.UUID) -> Preview | None:
    """The preview of a stored archive, which never changes; None for one that is too large to be read at once. At
    most two queries, none when it was asked for before."""
    size = File.objects.filter(pk=file_id).values_list("size", flat=True).first()
    if size is None or size > MAX_ARCHIVE_BYTES:
        return None
    return preview_of(stored.content(file_id))


def preview_of(archive: bytes) -> Preview | None:
    """The preview of a plain tar; None for more configuration than is read at once."""
    with tempfile.TemporaryDirectory(prefix="preview-") as name:
        folder = Path(name)
        try:
            if not _unpack_configuration(archive, folder):
                return None
            module = read_module(folder)
        except TemplateSyntaxError as error:
            found = (
                FoundProblem(
                    text=problem.summary,
                    file=problem.location.file,
                    line=problem.location.line,
                    source_line=problem.source_line.strip(),
                )
                for problem in error.problems[:PROBLEMS_SHOWN]
            )
            return Preview(problems=tuple(found))
        except (EngineError, DomainError) as error:
            return Preview(problems=(FoundProblem(str(error)),))
    return Preview(module.variables, module.literal_parameters)


def _unpack_configuration(archive: bytes, folder: Path) -> bool:
    """Write the configuration files alone; False when there are too many. Raises Invalid for a broken archive."""
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
