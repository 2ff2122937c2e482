"""Read a template's folder: its files, its root module and its local modules."""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from provisioning.engine.base import EngineError, ParameterSchema
from provisioning.engine.provider_usage import Hints, merge_hints

from . import value_shapes
from .json_syntax import JsonDocument
from .literals import as_text
from .module import Module, ModuleCall
from .native import NativeDocument
from .problems import Location, Problem, TemplateSyntaxError
from .providers import UsageCollector, declared_providers, full_address, hint_tree, with_nested_data
from .syntax import Block, NotConstantError, Traversal, merge_overrides, without_instance_key
from .variables import PARAMETER_TYPE, literal_parameters, variable_schema

MAX_FILE_BYTES = 4 << 20
# Limits templates whose modules call each other many times.
MAX_MODULE_CALLS = 500
# Only stubs need to know what a template does with the values it reads.
VALUE_SHAPES_SECONDS = 1.0

# Labels that Terraform requires.
LABEL_NAMES = {
    "variable": ("name",),
    "output": ("name",),
    "module": ("name",),
    "provider": ("name",),
    "resource": ("type", "name"),
    "data": ("type", "name"),
}
UNIQUE = ("variable", "output", "module", "resource", "data")


def read_module(directory: Path, fetched: Mapping[str, Path] | None = None, packages: Path | None = None) -> Module:
    """Read the template in ``directory`` and its fetched remote modules.

    ``fetched`` maps the keys of module calls to their folders below ``packages``. Raises TemplateSyntaxError for errors
    in the files, and EngineError when there is no configuration, a file is too large, or modules call each other
    recursively.
    """
    root = directory.resolve()
    return _TemplateReader(root, fetched or {}, packages or root).read()


class _Folder:
    """The files of one module's folder, read once even if the module is called several times."""

    def __init__(self, path: Path, shown: str, deadline: float) -> None:
        """``shown`` is the folder's path in locations, empty or ending with a slash. References that are not read by
        ``deadline`` are left out."""
        self.documents: list[NativeDocument | JsonDocument] = []
        overrides: list[NativeDocument | JsonDocument] = []
        for file in _configuration_files(path):
            document = _read_file(file, shown + file.name)
            stem = file.name.removesuffix(".json").removesuffix(".tf")
            is_override = stem == "override" or stem.endswith("_override")
            (overrides if is_override else self.documents).append(document)
        blocks = [block for document in self.documents for block in document.blocks]
        self.problems = [problem for document in self.documents + overrides for problem in document.problems]
        overriding = [block for document in overrides for block in document.blocks]
        self.documents += overrides
        self._check_labels(blocks + overriding)
        self._check_duplicates(blocks)
        self.blocks = merge_overrides(blocks, overriding)
        self.references: list[Traversal] = []
        self.module_references: dict[str, list[Traversal]] = {}
        if not self.problems:
            self._read_references(deadline)

    def _read_references(self, deadline: float) -> None:
        self.references += [reference for document in self.documents for reference in document.references()]
        if any(_may_need_stub(block) for block in self.blocks):
            native = (part for document in self.documents for part in document.native_documents())
            self.references += value_shapes.find_uses(native, self.blocks, deadline)
        for reference in self.references:
            if reference[0] == "module" and len(reference) > 1:
                self.module_references.setdefault(reference[1], []).append(reference[2:])

    def _check_labels(self, blocks: list[Block]) -> None:
        for block in blocks:
            names = LABEL_NAMES.get(block.type)
            if names is not None and len(block.labels) < len(names):
                self._add_problem(f"Missing {names[len(block.labels)]} for {block.type}", block.location)
            elif names is not None and len(block.labels) > len(names):
                self._add_problem(f"Too many labels for {block.type}", block.location)

    def _check_duplicates(self, blocks: list[Block]) -> None:
        seen: dict[tuple[str, ...], Location] = {}
        for block in blocks:
            key = (block.type, *block.labels)
            if block.type in UNIQUE and key in seen:
                what = f'{block.type} "{".".join(block.labels)}"'
                self._add_problem(f"Duplicate {what}: already declared at {seen[key]}", block.location)
            seen.setdefault(key, block.location)

    def _add_problem(self, summary: str, location: Location) -> None:
        document = next(document for document in self.documents if document.file == location.file)
        self.problems.append(document.problem(summary, location.line))


def _may_need_stub(block: Block) -> bool:
    if block.type == "module":
        return not _constant_text(block, "source").startswith((".", "/"))
    return block.type in ("resource", "data") and not block.labels[0].startswith(("coder_", "terraform_"))


class _TemplateReader:
    def __init__(self, root: Path, fetched: Mapping[str, Path], packages: Path) -> None:
        self.root = root
        self.fetched = fetched
        self.packages = packages
        self.deadline = time.monotonic() + VALUE_SHAPES_SECONDS
        self.folders: dict[Path, _Folder] = {}
        self.collector = UsageCollector()
        self.calls: list[ModuleCall] = []
        self.parameter_order: list[str] = []
        self.remote_states: list[Location] = []
        self.provisioners: list[Location] = []

    def read(self) -> Module:
        folder = self._folder(self.root, "")
        if not folder.documents:
            raise EngineError("no .tf file in the template's root folder")
        problems = list(folder.problems)
        variables = _variables(folder, problems)
        if problems:
            raise TemplateSyntaxError(sorted(problems, key=lambda problem: problem.location))
        required = self._collect(folder)
        self._follow_calls(self.root, folder, key="", address="", path=(self.root,), package=self.root)
        return Module(
            variables=variables,
            required_providers=required,
            provider_usage=self.collector.collected(),
            module_calls=tuple(self.calls),
            literal_parameters=literal_parameters(_in_source_order(folder.blocks)),
            parameter_order=tuple(dict.fromkeys(self.parameter_order)),
            backend=_backend(folder.blocks),
            has_remote_state=min(self.remote_states, default=None),
            uses_provisioners=tuple(sorted(set(self.provisioners))),
        )

    def _folder(self, path: Path, key: str) -> _Folder:
        """Return the folder at ``path``, which the call ``key`` refers to."""
        if path not in self.folders:
            is_own = path.is_relative_to(self.root)
            shown = path.relative_to(self.root).as_posix() if is_own else f"module.{key}"
            self.folders[path] = _Folder(path, "" if path == self.root else f"{shown}/", self.deadline)
        return self.folders[path]

    def _collect(self, folder: _Folder) -> dict[str, str]:
        """Record the providers, remote states and provisioners of a folder. Call this once for each folder."""
        for block in with_nested_data(folder.blocks):
            if block.type == "data" and block.labels[0] == "terraform_remote_state":
                self.remote_states.append(block.location)
            elif block.type == "resource":
                self.provisioners += [nested.location for nested in block.body.blocks_of("provisioner")]
        return self.collector.add_module(folder.blocks, folder.references)

    def _follow_calls(
        self, directory: Path, folder: _Folder, *, key: str, address: str, path: tuple[Path, ...], package: Path
    ) -> None:
        """Follow the module calls of a folder. ``path`` holds the calling folders; local calls must stay below
        ``package``."""
        blocks = _in_source_order(folder.blocks)
        self.parameter_order += [
            f"{address}data.{PARAMETER_TYPE}.{block.labels[1]}"
            for block in blocks
            if block.type == "data" and block.labels[0] == PARAMETER_TYPE
        ]
        addresses = declared_providers(blocks)
        for block in blocks:
            if block.type != "module":
                continue
            references = folder.module_references.get(block.labels[0], ())
            call = _module_call(block, key, references, addresses)
            self.calls.append(call)
            if len(self.calls) > MAX_MODULE_CALLS:
                raise EngineError(f"the template has more than {MAX_MODULE_CALLS} module calls")
            fetched = None if call.is_local else self.fetched.get(call.key)
            target = fetched or _local_target(directory, call, package)
            if target is None:
                continue
            if target in path:
                raise EngineError(f"module {call.key} calls itself ({call.location})")
            known = target in self.folders
            called = self._folder(target, call.key)
            if called.problems:
                raise TemplateSyntaxError(sorted(called.problems, key=lambda problem: problem.location))
            if not known:
                self._collect(called)
            self._follow_calls(
                target,
                called,
                key=f"{call.key}.",
                address=f"{address}module.{call.name}.",
                path=(*path, target),
                package=self.packages if fetched else package,
            )


def _local_target(directory: Path, call: ModuleCall, package: Path) -> Path | None:
    """Return the folder of a local module; None if the module is remote, missing or outside its package."""
    if not call.is_local:
        return None
    target = (directory / call.source).resolve()
    return target if target.is_relative_to(package) and target.is_dir() else None


def _configuration_files(directory: Path) -> list[Path]:
    """Return the configuration files of a folder, sorted by name, without links and hidden files.

    Raises EngineError for ``.tofu`` files: OpenTofu would read them instead of the files that are checked here.
    """
    with os.scandir(directory) as entries:
        names = sorted(e.name for e in entries if e.name[0] != "." and e.is_file(follow_symlinks=False))
    for name in names:
        if name.endswith((".tofu", ".tofu.json")):
            raise EngineError(f"{name}: configuration must be in .tf or .tf.json files")
    return [directory / name for name in names if name.endswith((".tf", ".tf.json"))]


def _read_file(file: Path, name: str) -> NativeDocument | JsonDocument:
    with file.open("rb") as stream:
        source = stream.read(MAX_FILE_BYTES + 1)
    if len(source) > MAX_FILE_BYTES:
        raise EngineError(f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise TemplateSyntaxError([Problem("The file is not valid UTF-8", Location(name, line))]) from error
    return JsonDocument(source, name) if name.endswith(".json") else NativeDocument(source, name)


def _variables(folder: _Folder, problems: list[Problem]) -> tuple[ParameterSchema, ...]:
    found = [
        variable_schema(block, problems)
        for block in _in_source_order(folder.blocks)
        if block.type == "variable" and len(block.labels) == 1
    ]
    return tuple(found)


def _in_source_order(blocks: Iterable[Block]) -> list[Block]:
    return sorted(blocks, key=lambda block: block.location)


def _backend(blocks: Iterable[Block]) -> Location | None:
    for block in blocks:
        if block.type == "terraform":
            for nested in (*block.body.blocks_of("backend"), *block.body.blocks_of("cloud")):
                return nested.location
    return None


_CALL_META_ARGUMENTS = ("source", "version", "count", "for_each", "providers", "depends_on")


def _module_call(
    block: Block, prefix: str, references: Iterable[Traversal], addresses: Mapping[str, str]
) -> ModuleCall:
    """``addresses`` maps local names to addresses of the calling module's providers."""
    name = block.labels[0]
    outputs: dict[str, Hints] = {}
    for path in references:
        merge_hints(outputs, hint_tree(without_instance_key(path)))
    return ModuleCall(
        key=prefix + name,
        name=name,
        source=_constant_text(block, "source"),
        version=_constant_text(block, "version"),
        location=block.location,
        arguments=tuple(n for n in block.body.attributes if n not in _CALL_META_ARGUMENTS),
        outputs=outputs,
        providers=_passed_providers(block, addresses),
    )


def _passed_providers(block: Block, addresses: Mapping[str, str]) -> dict[str, str]:
    passed = block.body.attributes.get("providers")
    found = {}
    for name, expression in (passed.elements() if passed is not None else {}).items():
        local = expression.keyword().partition(".")[0]
        found[name] = addresses.get(local) or full_address(local)
    return found


def _constant_text(block: Block, name: str) -> str:
    try:
        return as_text(block.body.constant(name, ""))
    except NotConstantError:
        return ""
