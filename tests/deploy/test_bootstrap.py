"""The set-up: which parts it installs, what it stores, and that it installs nothing with a wrong hash.

Packages are made here and installed into an environment made here; no network is used.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "deploy" / "bootstrap.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, with its own folder for everything that it reads and writes."""
    module = load()
    use_environment(module, tmp_path / "venv")
    module.LOCKS = {part: tmp_path / f"{part}.lock" for part in module.LOCKS}
    for lock in module.LOCKS.values():
        lock.write_text(f"# {lock.name}\n")
    for name in ("TERRAFORM_BINARY", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return module


def use_environment(setup: ModuleType, folder: Path) -> None:
    setup.VENV = folder
    setup.VENV_PYTHON = folder / "bin" / "python"
    setup.STAMP = folder / "bootstrap.json"


def programs(folder: Path, *names: str) -> str:
    """Make a folder for PATH that has these programs."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


def add_python(setup: ModuleType) -> None:
    setup.VENV_PYTHON.parent.mkdir(parents=True)
    setup.VENV_PYTHON.symlink_to(sys.executable)


def stamp(setup: ModuleType, **content: str) -> None:
    setup.STAMP.write_text(json.dumps({"folder": str(setup.VENV), **content}))


# ---------------------------------------------------------------------- what is missing
@pytest.mark.parametrize(
    ("variables", "on_path", "missing"),
    [
        ({}, (), ["packages", "terraform", "postgres", "sandbox"]),
        ({"DATABASE_URL": "postgresql://h/d"}, (), ["packages", "terraform", "sandbox"]),
        ({"TERRAFORM_BINARY": "/opt/tofu"}, (), ["packages", "postgres", "sandbox"]),
        ({}, ("terraform",), ["packages", "terraform", "postgres", "sandbox"]),  # the library is faster
        ({}, ("bwrap",), ["packages", "terraform", "postgres"]),
    ],
)
def test_only_parts_that_the_machine_lacks_are_missing(
    setup, tmp_path, monkeypatch, variables, on_path, missing
) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", *on_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert setup.missing_parts() == missing


def test_every_part_has_a_lock_with_hashes_and_says_what_is_missing_without_it() -> None:
    module = load()
    assert set(module.WITHOUT) == set(module.LOCKS) - {module.PACKAGES}
    for lock in module.LOCKS.values():
        entries = lock.read_text().replace("\\\n", "").strip().splitlines()
        assert entries
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries), lock


def test_installed_parts_are_missing_again_when_their_lock_changes(setup, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", "bwrap"))
    add_python(setup)
    stamp(setup, packages=setup.digest("packages"), postgres=setup.digest("postgres"))
    assert setup.missing_parts() == ["terraform"]
    setup.LOCKS["postgres"].write_text("another\n")
    assert setup.missing_parts() == ["terraform", "postgres"]


def test_a_failed_part_is_missing_only_with_another_lock_or_on_request(setup, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", "bwrap"))
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    add_python(setup)
    stamp(setup, packages=setup.digest("packages"), terraform=f"failed:{setup.digest('terraform')}")
    assert setup.missing_parts() == []
    assert setup.missing_parts(again=True) == ["terraform"]
    setup.LOCKS["terraform"].write_text("another\n")
    assert setup.missing_parts() == ["terraform"]


def test_the_machines_own_server_counts_while_its_programs_exist(setup, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", "bwrap"))
    monkeypatch.setenv("TERRAFORM_BINARY", "/opt/tofu")
    server = Path(programs(tmp_path / "server", "initdb"))
    add_python(setup)
    stamp(setup, packages=setup.digest("packages"), postgres=str(server))
    assert setup.missing_parts() == []
    assert setup.missing_parts(again=True) == ["postgres"]  # it looks again: PGBIN may have changed
    (server / "initdb").unlink()
    assert setup.missing_parts() == ["postgres"]


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"folder": "/elsewhere", "packages": "x"}'])
def test_a_broken_stamp_or_that_of_a_moved_folder_is_ignored(setup, content) -> None:
    add_python(setup)
    setup.STAMP.write_text(content)
    assert setup.read_stamp() == {}
    assert "packages" in setup.missing_parts()


def test_everything_is_missing_without_a_working_interpreter(setup) -> None:
    add_python(setup)
    stamp(setup, packages=setup.digest("packages"))
    assert "packages" not in setup.missing_parts()
    setup.VENV_PYTHON.unlink()
    setup.VENV_PYTHON.symlink_to("/nonexistent/python3")
    assert "packages" in setup.missing_parts()


def test_the_check_imports_no_slow_module() -> None:
    """Every `make` runs it."""
    question = f"import runpy, sys; runpy.run_path({str(PROGRAM)!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-S", "-c", question], capture_output=True, text=True, check=True)
    assert not {"argparse", "subprocess", "tempfile", "coderproj"} & set(loaded.stdout.split())


# ---------------------------------------------------------------------- installing
def make_wheel(folder: Path, name: str, **scripts: str) -> None:
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        for script, text in scripts.items():
            entry = zipfile.ZipInfo(f"{name}-1.0.data/scripts/{script}")
            entry.external_attr = 0o100755 << 16
            wheel.writestr(entry, text)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packages. The one named uv starts the real uv."""
    folder = tmp_path_factory.mktemp("shelf")
    real = Path(sysconfig.get_path("scripts")) / "uv"
    make_wheel(folder, "uv", uv=f'#!/bin/sh\nexec {real} "$@"\n')
    for name in ("paper", "ink", "pencil", "quill"):
        make_wheel(folder, name)
    return folder


@pytest.fixture
def offline(setup: ModuleType, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A set-up whose package index is the shelf, on a machine that has everything but the packages and PostgreSQL."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("TERRAFORM_BINARY", "/opt/tofu")
    tools = programs(setup.LOCKS["packages"].parent / "bin", "bwrap")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(setup, "postgres_folder", lambda: "")
    return setup


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environment") / "venv"


@pytest.fixture
def installing(offline: ModuleType, environment: Path) -> ModuleType:
    """A set-up that shares its environment with other tests, because creating it takes long, but not its stamp."""
    use_environment(offline, environment)
    offline.STAMP.unlink(missing_ok=True)
    return offline


def locked(shelf: Path, name: str, digest: str = "") -> str:
    digest = digest or hashlib.sha256((shelf / f"{name}-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    return f"{name}==1.0 \\\n    --hash=sha256:{digest}\n"


def lock(setup: ModuleType, shelf: Path, part: str, *names: str) -> None:
    setup.LOCKS[part].write_text("".join(locked(shelf, name) for name in names))


def has(setup: ModuleType, name: str) -> bool:
    question = [setup.VENV_PYTHON, "-c", f"import {name}"]
    return subprocess.run(question, stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_packages_are_installed_and_a_failed_part_is_a_warning(installing, shelf, capsys) -> None:
    lock(installing, shelf, "packages", "uv", "paper")
    installing.LOCKS["postgres"].write_text(locked(shelf, "ink", "0" * 64))
    installing.set_up(again=False)
    assert (has(installing, "paper"), has(installing, "ink")) == (True, False)
    stored = installing.read_stamp()
    assert stored["packages"] == installing.digest("packages")
    assert stored["postgres"] == f"failed:{installing.digest('postgres')}"
    assert installing.missing_parts() == []
    assert "warning: postgres could not be installed" in capsys.readouterr().out
    # `make setup` retries what failed, and nothing else.
    lock(installing, shelf, "postgres", "ink")
    installing.set_up(again=True)
    output = capsys.readouterr().out
    assert "installing postgres" in output
    assert "installing the packages" not in output
    assert has(installing, "ink")
    assert installing.read_stamp()["postgres"] == installing.digest("postgres")


def test_packages_that_no_lock_names_are_removed_and_optional_parts_stay(installing, shelf) -> None:
    lock(installing, shelf, "packages", "uv", "paper")
    lock(installing, shelf, "postgres", "ink")
    installing.set_up(again=False)
    assert (has(installing, "paper"), has(installing, "ink")) == (True, True)
    lock(installing, shelf, "packages", "uv", "pencil")
    installing.set_up(again=False)
    assert [has(installing, name) for name in ("paper", "pencil", "ink")] == [False, True, True]
    assert installing.missing_parts() == []


@pytest.mark.parametrize("hashes", ["wrong", "none"])
def test_a_package_without_its_hash_is_not_installed_and_ends_the_set_up(installing, shelf, hashes) -> None:
    quill = locked(shelf, "quill", "0" * 64) if hashes == "wrong" else "quill==1.0\n"
    installing.LOCKS["packages"].write_text(locked(shelf, "uv") + quill)
    with pytest.raises(SystemExit, match="could not be installed"):
        installing.set_up(again=False)
    assert not has(installing, "quill")
    assert "packages" in installing.missing_parts()


def test_uv_is_installed_by_its_hash_only(installing, shelf) -> None:
    installing.ensure_environment()
    program = installing.VENV / "bin" / "uv"
    program.unlink(missing_ok=True)
    installing.LOCKS["packages"].write_text(locked(shelf, "uv", "0" * 64))
    with pytest.raises(SystemExit, match="uv could not be installed"):
        installing.ensure_uv()
    assert not program.exists()
    lock(installing, shelf, "packages", "uv")
    installing.ensure_uv()
    assert subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.startswith("uv ")
    program.write_text("a broken program")
    installing.ensure_uv()
    assert program.read_text().startswith("#!/bin/sh")


def test_the_machines_own_server_is_stored_and_nothing_is_installed_for_it(installing, shelf, monkeypatch) -> None:
    lock(installing, shelf, "packages", "uv")
    lock(installing, shelf, "postgres", "pencil")
    server = programs(installing.LOCKS["packages"].parent / "server", "initdb")
    monkeypatch.setattr(installing, "postgres_folder", lambda: server)
    installing.set_up(again=False)
    assert installing.read_stamp()["postgres"] == server
    assert not has(installing, "pencil")
    assert installing.missing_parts() == []


def test_an_environment_is_kept_until_its_folder_moves(installing, environment, tmp_path) -> None:
    installing.ensure_environment()
    made = installing.VENV_PYTHON.lstat().st_mtime_ns
    installing.ensure_environment()
    assert installing.VENV_PYTHON.lstat().st_mtime_ns == made
    assert installing.environment_fits()
    moved = environment.rename(tmp_path / "moved")
    try:
        use_environment(installing, moved)
        assert not installing.environment_fits()
    finally:  # other tests use it
        moved.rename(environment)


def test_an_environment_that_does_not_exist_does_not_fit(offline) -> None:
    assert not offline.environment_fits()


def test_an_environment_behind_a_link_is_left_alone(offline, tmp_path) -> None:
    """Creating it again would empty one that belongs to another folder."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").touch()
    offline.VENV.symlink_to(other)
    with pytest.raises(SystemExit, match="remove the link"):
        offline.ensure_environment()
    assert (other / "kept").exists()


def test_a_python_without_ensurepip_names_the_package_to_install(offline, tmp_path, monkeypatch) -> None:
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\n')
    python.chmod(0o755)
    monkeypatch.setattr(offline.sys, "_base_executable", str(python))
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        offline.ensure_environment()


def test_pips_settings_become_uvs_variables(installing, monkeypatch) -> None:
    installing.ensure_environment()
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example.com/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://one.example.com https://two.example.com")
    environment = installing.uv_environment()
    assert environment["UV_DEFAULT_INDEX"] == "https://packages.example.com/simple"
    assert environment["UV_INDEX"] == "https://one.example.com https://two.example.com"
    assert environment["UV_NO_INDEX"] == "1"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own.example.com")
    assert installing.uv_environment()["UV_DEFAULT_INDEX"] == "https://own.example.com"
