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
from .module import Module, ModuleCall, Provisioner
from .native import PROVIDER_FUNCTION, NativeDocument
from .origins import Scope
from .problems import Location, Problem, TemplateSyntaxError
from .providers import UsageCollector, declared_providers, full_address, hint_tree, with_nested_data
from .syntax import Block, NotConstantError, Traversal, merge_overrides, without_instance_key
from .values import FileValue, read_bytes, template_values, with_values
from .variables import PARAMETER_TYPE, literal_parameters, variable_schema

# Limits templates whose modules call each other many times.
MAX_MODULE_CALLS = 500
# Only stubs need to know what a template does with the values it reads.
VALUE_SHAPES_SECONDS = 1.0

# Limits of the search for a template that is not in the root folder.
MAX_SEARCHED_DEPTH = 3
MAX_SEARCHED_FOLDERS = 100

# Labels that Terraform requires.
LABEL_NAMES = {
    "variable": ("name",),
    "output": ("name",),
    "module": ("name",),
    "provider": ("name",),
    "resource": ("type", "name"),
    "data": ("type", "name"),
    "ephemeral": ("type", "name"),
}
UNIQUE = ("variable", "output", "module", "resource", "data", "ephemeral")


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
        self.is_called = bool(shown)
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
        calls_provider = any(reference[0].startswith(PROVIDER_FUNCTION) for reference in self.references)
        has_variables = any(block.type == "variable" for block in self.blocks)
        if calls_provider or (self.is_called and has_variables) or any(_may_need_stub(b) for b in self.blocks):
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

    def add_references(self, references: Iterable[Traversal]) -> None:
        """Add references that come from calling or called modules."""
        for reference in references:
            self.references.append(reference)
            if reference[0] == "module" and len(reference) > 1:
                self.module_references.setdefault(reference[1], []).append(reference[2:])

    def uses_of_variable(self, name: str) -> list[Traversal]:
        """Return the steps that the module applies to a variable."""
        return [path[2:] for path in self.references if path[:2] == ("var", name)]

    def _add_problem(self, summary: str, location: Location) -> None:
        document = next(document for document in self.documents if document.file == location.file)
        self.problems.append(document.problem(summary, location.line))


def _may_need_stub(block: Block) -> bool:
    if block.type == "module":
        return not _constant_text(block, "source").startswith((".", "/"))
    return block.type in ("resource", "data", "ephemeral") and not block.labels[0].startswith(("coder_", "terraform_"))


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
        self.scopes: list[Scope] = []
        self.remote_states: list[Location] = []
        self.provisioners: list[Provisioner] = []

    def read(self) -> Module:
        folder = self._folder(self.root, "")
        if not folder.documents:
            raise EngineError(f"no .tf file in the template's root folder{_place_of_template(self.root)}")
        problems = list(folder.problems)
        variables = _variables(folder, problems)
        if problems:
            raise TemplateSyntaxError(sorted(problems, key=lambda problem: problem.location))
        values = template_values(self.root)
        required = self._collect(folder)
        scope = Scope(folder.blocks, declared_providers(folder.blocks))
        self.scopes.append(scope)
        self._follow_calls(scope, self.root, folder, address="", path=(self.root,), package=self.root)
        return Module(
            variables=with_values(variables, values),
            variable_files={name: value.file for name, value in values.items()},
            structured_variables=_structured(folder, values),
            required_providers=required,
            provider_usage=self.collector.collected(),
            declares_costs=self.collector.declares_costs,
            module_calls=tuple(self.calls),
            literal_parameters=literal_parameters(_in_source_order(folder.blocks)),
            parameter_order=tuple(dict.fromkeys(self.parameter_order)),
            backend=_backend(folder.blocks),
            has_remote_state=min(self.remote_states, default=None),
            provisioners=tuple(sorted(set(self.provisioners))),
            scopes=tuple(self.scopes),
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
                for nested in block.body.blocks_of("provisioner"):
                    # In JSON, the type of a provisioner is a key of the block.
                    types = nested.labels[:1] or nested.body.attributes
                    self.provisioners += [Provisioner(nested.location, found) for found in types]
        return self.collector.add_module(folder.blocks, folder.references)

    def _follow_calls(
        self,
        scope: Scope,
        directory: Path,
        folder: _Folder,
        *,
        address: str,
        path: tuple[Path, ...],
        package: Path,
    ) -> None:
        """Follow the module calls of a folder; ``scope`` gets the called modules that can be read. ``path`` holds the
        calling folders; local calls must stay below ``package``."""
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
            call = _module_call(block, scope.key, references, addresses)
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
            self._add_reads_of_outputs(call, folder, called)
            child = Scope(
                called.blocks, declared_providers(called.blocks), key=f"{call.key}.", call=block, parent=scope
            )
            scope.children[call.name] = child
            self.scopes.append(child)
            self._follow_calls(
                child,
                target,
                called,
                address=f"{address}module.{call.name}.",
                path=(*path, target),
                package=self.packages if fetched else package,
            )
            self._add_reads_of_arguments(block, folder, called)

    def _add_reads_of_outputs(self, call: ModuleCall, caller: _Folder, called: _Folder) -> None:
        """Add what the caller reads of a module's outputs to what the module reads."""
        outputs = [block for block in called.blocks if block.type == "output" and block.labels]
        values = [block.body.attributes.get("value") for block in outputs]
        used = [without_instance_key(path) for path in caller.module_references.get(call.name, ())]
        found: list[Traversal] = []
        for block, sources in zip(outputs, value_shapes.sources_of(called.blocks, values), strict=True):
            if time.monotonic() > self.deadline:
                return
            found += value_shapes.joined(sources, (path[1:] for path in used if path[:1] == block.labels))
        called.add_references(found)
        self.collector.add_reads(called.blocks, found)

    def _add_reads_of_arguments(self, block: Block, caller: _Folder, called: _Folder) -> None:
        """Add what a module reads of its variables to what the caller reads."""
        arguments = [name for name in block.body.attributes if name not in _CALL_META_ARGUMENTS]
        values = [block.body.attributes[name] for name in arguments]
        found: list[Traversal] = []
        for name, sources in zip(arguments, value_shapes.sources_of(caller.blocks, values), strict=True):
            if time.monotonic() > self.deadline:
                return
            found += value_shapes.joined(sources, called.uses_of_variable(name))
        caller.add_references(found)
        self.collector.add_reads(caller.blocks, found)


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


def _place_of_template(root: Path) -> str:
    """Return a hint for an archive of the enclosing folder: where the template is instead. Empty if it is nowhere."""
    level = [root]
    for _ in range(MAX_SEARCHED_DEPTH):
        level = [
            folder
            for parent in level[:MAX_SEARCHED_FOLDERS]
            for folder in sorted(parent.iterdir())
            if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith(".")
        ]
        found = [names for folder in level[:MAX_SEARCHED_FOLDERS] if (names := _configuration_names(folder))]
        if found:
            file = next((name for name in found[0] if name.name == "main.tf"), found[0][0]).relative_to(root)
            return f", but there is {file}: upload the content of the folder {file.parent}"
    return ""


def _configuration_names(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith((".tf", ".tf.json")) and path.is_file())


def _read_file(file: Path, name: str) -> NativeDocument | JsonDocument:
    source = read_bytes(file, name)
    return JsonDocument(source, name) if name.endswith(".json") else NativeDocument(source, name)


def _variables(folder: _Folder, problems: list[Problem]) -> tuple[ParameterSchema, ...]:
    found = [
        variable_schema(block, problems)
        for block in _in_source_order(folder.blocks)
        if block.type == "variable" and len(block.labels) == 1
    ]
    return tuple(found)


def _structured(folder: _Folder, values: Mapping[str, FileValue]) -> frozenset[str]:
    """Return the names of the variables without a type whose value in the template is a list or a map."""
    found = set()
    for block in folder.blocks:
        if block.type != "variable" or "type" in block.body.attributes:
            continue
        name = block.labels[0]
        value = values[name].value if name in values else block.body.constant("default")
        if isinstance(value, list | dict):
            found.add(name)
    return frozenset(found)


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
