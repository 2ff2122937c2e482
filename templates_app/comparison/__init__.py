"""Compare two versions of a template: files, parameters and resources."""

from templates_app.comparison.versions import FieldChange, ItemChange, VersionComparison, compare
from templates_app.tasks.comparison import Change, FileChange, Hunk, Line, Span, compare_files

__all__ = [
    "Change",
    "FieldChange",
    "FileChange",
    "Hunk",
    "ItemChange",
    "Line",
    "Span",
    "VersionComparison",
    "compare",
    "compare_files",
]
