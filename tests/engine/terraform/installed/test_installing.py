"""Installing providers from a registry and from mirrors: what is downloaded, and what the job says."""

import json
import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from provisioning.engine.base import EngineError, ImportResult, LogLevel, PlanInput
from provisioning.engine.terraform import EngineSettings, TerraformEngine
from tests.engine.terraform.recording import Recorder, template

from .registry import ABOUT, HOST, TOY, TOY_FILES, Registry, requiring, serving, write_mirror
from .toy import BROKEN, CRASHING

pytestmark = pytest.mark.terraform


def settings(folder: Path, **options: object) -> EngineSettings:
    found: dict[str, object] = {"plugin_cache": folder / "cache", "provider_read_paths": TOY_FILES}
    return EngineSettings(**(found | options))  # type: ignore[arg-type]


def plan(used: EngineSettings, root: Path, log: Recorder | None = None) -> ImportResult:
    return TerraformEngine(used).plan_import(root, PlanInput(), log=log or Recorder(), stop=Event())


def version_in(result: ImportResult) -> str:
    """Return the version in the metadata that ABOUT adds."""
    return next(item.value or "" for resource in result.start.resources for item in resource.metadata)


def test_a_provider_of_a_registry_is_downloaded_once(tmp_path: Path) -> None:
    with serving(Registry(["1.0.0", "1.2.0", "2.0.0"])) as registry:
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path))
        root = template(tmp_path, requiring(version="~> 1.0", body=ABOUT))
        for _ in range(3):
            result = plan(used, root)
            assert version_in(result) == "1.2.0"
            assert result.unverified_providers == ()
        assert registry.downloads == 1


def test_a_remembered_version_needs_no_registry(tmp_path: Path) -> None:
    with serving(Registry(["1.0.0"])) as registry:
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path))
        root = template(tmp_path, requiring(body=ABOUT))
        plan(used, root)
        asked = registry.requests.total()
        log = Recorder()
        assert version_in(plan(used, root, log)) == "1.0.0"
        assert registry.requests.total() == asked
        assert f"Using {TOY} 1.0.0 of the cache" in log.text


def test_new_versions_are_found_after_a_while_without_downloading_known_ones(tmp_path: Path) -> None:
    with serving(Registry(["1.0.0"])) as registry:
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path), registry_cache_seconds=0)
        root = template(tmp_path, requiring(body=ABOUT))
        assert [version_in(plan(used, root)) for _ in range(2)] == ["1.0.0", "1.0.0"]
        registry.versions.append("1.1.0")
        assert version_in(plan(used, root)) == "1.1.0"
        assert registry.downloads == 2


def _import(arguments: tuple[EngineSettings, str]) -> list[str]:
    return list(plan(arguments[0], Path(arguments[1])).unverified_providers)


def test_processes_share_a_cache(tmp_path: Path) -> None:
    names = ("toy", "train", "robot")
    with serving(Registry(["1.0.0"], names=names)) as registry:
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path))
        roots = [template(tmp_path / str(number), requiring(names, body=ABOUT)) for number in range(6)]
        # Spawned processes, as daemons are; each also runs several jobs at once.
        with multiprocessing.get_context("spawn").Pool(3) as pool:
            found = pool.map(_import, [(used, str(root)) for root in roots], chunksize=1)
        assert found == [[]] * 6
        assert registry.downloads == 3


def test_threads_share_a_cache(tmp_path: Path) -> None:
    with serving(Registry(["1.0.0"])) as registry:
        engine = TerraformEngine(settings(tmp_path, cli_config=registry.cli_config(tmp_path)))
        roots = [template(tmp_path / str(number), requiring(body=ABOUT)) for number in range(4)]
        with ThreadPoolExecutor(4) as threads:
            results = list(
                threads.map(lambda root: engine.plan_import(root, PlanInput(), log=Recorder(), stop=Event()), roots)
            )
        assert [version_in(result) for result in results] == ["1.0.0"] * 4
        assert registry.downloads == 1


def test_packages_of_terraforms_own_cache_are_used(tmp_path: Path) -> None:
    write_mirror(tmp_path / "cache", "1.0.0", "1.1.0")
    used = settings(tmp_path, network=False)
    assert version_in(plan(used, template(tmp_path, requiring(version="< 1.1", body=ABOUT)))) == "1.0.0"


def test_each_alias_has_its_own_configuration(tmp_path: Path) -> None:
    write_mirror(tmp_path / "cache", "1.0.0")
    body = (
        'provider "toy" {\n  greeting = "hello"\n}\nprovider "toy" {\n  alias    = "other"\n  greeting = "bye"\n}\n'
        'data "toy_about" "a" {}\ndata "toy_about" "b" {\n  provider = toy.other\n}\n'
        'resource "coder_metadata" "m" {\n  resource_id = terraform_data.x.id\n'
        '  item {\n    key = "both"\n    value = "${data.toy_about.a.greeting} ${data.toy_about.b.greeting}"\n  }\n}\n'
    )
    assert version_in(plan(settings(tmp_path, network=False), template(tmp_path, requiring(body=body)))) == "hello bye"


# ---------------------------------------------------------------------- what does not exist, and what is unreachable
@pytest.mark.parametrize(
    ("names", "version", "text"),
    [
        (("car",), "", f"does not have a provider named {HOST}/acme/car"),
        (("toy",), ">= 7", "no available releases match the given constraints"),
    ],
)
def test_a_registrys_no_fails_the_import(tmp_path: Path, names: tuple[str, ...], version: str, text: str) -> None:
    log = Recorder()
    with serving(Registry(["1.0.0"])) as registry:
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path))
        with pytest.raises(EngineError, match=text):
            plan(used, template(tmp_path, requiring(names, version=version)), log)
    assert text in " ".join(log.outputs(level=LogLevel.ERROR))


def test_a_package_that_differs_from_its_hash_fails_the_import(tmp_path: Path) -> None:
    with serving(Registry(["1.0.0"], damaged=frozenset({"1.0.0"}))) as registry:
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path))
        with pytest.raises(EngineError, match=f"provider {TOY} could not be installed: .*checksum"):
            plan(used, template(tmp_path, requiring()))
        assert not list((tmp_path / "cache" / "packages").iterdir())


@pytest.mark.parametrize("trouble", [{"status": 503}, {"is_silent": True}])
def test_an_unreachable_registry_is_asked_once_for_all_providers(tmp_path: Path, trouble: dict[str, object]) -> None:
    names = tuple("abcdefg")
    with serving(Registry(["1.0.0"], names=names, **trouble)) as registry:  # type: ignore[arg-type]
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path), registry_seconds=1)
        root = template(tmp_path, requiring(names))
        for _ in range(2):  # the second job is in the same minute, and can be in another process
            log = Recorder()
            started = time.monotonic()
            result = plan(used, root, log)
            assert len(result.unverified_providers) == 7
            assert registry.requests.total() == 1
        assert time.monotonic() - started < 30
        (line,) = {line.partition(": ")[2] for line in log.outputs(level=LogLevel.WARN)}
        assert "127.0.0.1" in line
        assert "cannot be reached" in line


def test_the_cache_replaces_an_unreachable_registry(tmp_path: Path) -> None:
    log = Recorder()
    with serving(Registry(["1.0.0", "1.1.0"])) as registry:
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path), registry_cache_seconds=0.5)
        assert version_in(plan(used, template(tmp_path / "a", requiring(version="1.0.0", body=ABOUT)))) == "1.0.0"
        registry.status = 503
        time.sleep(0.5)
        result = plan(used, template(tmp_path / "b", requiring(version=">= 0.9", body=ABOUT)), log)
        assert version_in(result) == "1.0.0"
        assert result.unverified_providers == ()
        assert f"using {TOY} 1.0.0 of the cache" in " ".join(log.outputs(level=LogLevel.WARN))
        lacking = plan(used, template(tmp_path / "c", requiring(version=">= 1.1")))
        assert lacking.unverified_providers == (TOY,)


def test_a_broken_provider_fails_the_import_with_its_reason(tmp_path: Path) -> None:
    write_mirror(tmp_path / "cache", BROKEN)
    with pytest.raises(EngineError) as caught:
        plan(settings(tmp_path, network=False), template(tmp_path, requiring(body=ABOUT)))
    assert str(caught.value) == (
        f"provider {TOY} cannot be used: it does not start as a provider (exit status 1): toy: cannot load libtoy.so"
    )


def test_a_crash_of_a_provider_is_in_the_log(tmp_path: Path) -> None:
    write_mirror(tmp_path / "cache", CRASHING)
    log = Recorder()
    with pytest.raises(EngineError, match="plan for start failed"):
        plan(settings(tmp_path, network=False), template(tmp_path, requiring(body=ABOUT)), log)
    assert f"provider {TOY}: panic: runtime error: the toy is broken" in log.outputs(level=LogLevel.ERROR)


# ---------------------------------------------------------------------- the lock file
def lock(version: str, *hashes: str) -> str:
    listed = f"  hashes = {json.dumps(hashes)}\n" if hashes else ""
    return f'provider "{TOY}" {{\n  version = "{version}"\n{listed}}}\n'


def test_a_lock_file_selects_the_version(tmp_path: Path) -> None:
    log = Recorder()
    with serving(Registry(["1.0.0", "1.2.0"])) as registry:
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path))
        content = {"main.tf": requiring(body=ABOUT), ".terraform.lock.hcl": lock("1.0.0")}
        assert version_in(plan(used, template(tmp_path, content), log)) == "1.0.0"
    (warning,) = log.outputs(level=LogLevel.WARN)
    assert f".terraform.lock.hcl has no hash of {TOY} 1.0.0 for linux_" in warning


@pytest.mark.parametrize("hashes", [("h1:" + "A" * 43 + "=",), ("zh:" + "0" * 64,)])
def test_a_wrong_hash_in_a_lock_file_fails_the_import(tmp_path: Path, hashes: tuple[str, ...]) -> None:
    with serving(Registry(["1.0.0"])) as registry:
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path))
        plan(used, template(tmp_path / "first", requiring()))  # the cache must not hide it
        content = {"main.tf": requiring(), ".terraform.lock.hcl": lock("1.0.0", *hashes)}
        with pytest.raises(EngineError, match=r"does not match any hash in \.terraform\.lock\.hcl"):
            plan(used, template(tmp_path, content))


def test_a_lock_file_that_contradicts_the_constraint_fails_the_import(tmp_path: Path) -> None:
    with serving(Registry(["1.0.0", "1.2.0"])) as registry:
        used = settings(tmp_path, cli_config=registry.cli_config(tmp_path))
        content = {"main.tf": requiring(version=">= 1.1"), ".terraform.lock.hcl": lock("1.0.0")}
        with pytest.raises(EngineError, match=r"1\.0\.0.*does not match.*>= 1\.1"):
            plan(used, template(tmp_path, content))


def test_a_damaged_lock_file_is_reported_with_its_line(tmp_path: Path) -> None:
    content = {"main.tf": requiring(), ".terraform.lock.hcl": 'provider "x" {\n  version = = 1\n}\n'}
    with pytest.raises(EngineError, match=r"\.terraform\.lock\.hcl: line 2: "):
        plan(settings(tmp_path, network=False), template(tmp_path, content))


# ---------------------------------------------------------------------- errors in the template
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            'resource "terraform_data" "vm" {\n  lifecycle {\n    ignore_change = [input]\n  }\n}\n',
            r'Unsupported argument \(main\.tf:13\): An argument named "ignore_change"',
        ),
        (
            'terraform {\n  required_version = ">= 99"\n}\n',
            r"Unsupported Terraform Core version \(main\.tf:12\): .* does not support Terraform version \d",
        ),
        (
            'data "toy_about" "it" {\n  colour = "red"\n}\n',
            r'Unsupported argument \(main\.tf:12\): An argument named "colour"',
        ),
    ],
)
def test_errors_in_the_template_have_their_place(tmp_path: Path, body: str, text: str) -> None:
    write_mirror(tmp_path / "cache", "1.0.0")
    with pytest.raises(EngineError, match=text):
        plan(settings(tmp_path, network=False), template(tmp_path, requiring(body=body)))
