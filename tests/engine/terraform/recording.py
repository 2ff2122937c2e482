"""Shared by the tests of this folder: a log that keeps its lines, templates on disk, a scripted executable."""

from pathlib import Path

from provisioning.engine.base import LogLevel, Stage

MIXED = Path(__file__).parents[2] / "data" / "templates" / "mixed" / "main.tf"
# Needed by executables that are shell scripts; the real Terraform has no access to these folders.
SHELL_PATHS = (Path("/bin"), Path("/usr"))


class Recorder:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[LogLevel, str, str]] = []

    def __call__(self, level: LogLevel, stage: str, output: str) -> None:
        self.lines.append((level, stage, output))

    @property
    def text(self) -> str:
        return "\n".join(output for _, _, output in self.lines)

    def outputs(self, stage: Stage | None = None, level: LogLevel | None = None) -> list[str]:
        return [o for lv, st, o in self.lines if stage in (None, st) and level in (None, lv)]


def template(directory: Path, content: str | dict[str, str]) -> Path:
    """Write a template with one ``main.tf`` or several files to a new folder."""
    root = directory / "template"
    for name, text in ({"main.tf": content} if isinstance(content, str) else content).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def scripted_terraform(directory: Path, cases: str, *, version: str = "1.11.0") -> Path:
    """Write an executable that answers ``version`` like Terraform and everything else with the shell ``cases``."""
    path = directory / "scripted-terraform"
    path.write_text(
        f'#!/bin/sh\ncase "$1" in\nversion) echo \'{{"terraform_version": "{version}"}}\' ;;\n{cases}\nesac\n'
    )
    path.chmod(0o755)
    return path
