"""The set-up: what it wants, what it remembers, and that nothing is installed whose hash is another.

Where something is installed, it is a package made here, into an environment made here; no network is used.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, as a module, with a folder of its own for everything that it reads and makes."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "deploy" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.VENV = tmp_path / "venv"
    module.VENV_PYTHON = module.VENV / "bin" / "python"
    module.STAMP = module.VENV / "bootstrap.json"
    module.LOCKS = {part: tmp_path / f"{part}.lock" for part in module.LOCKS}
    for lock in module.LOCKS.values():
        lock.write_text(f"# {lock.name}\n")
    for name in ("TERRAFORM_BINARY", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return module


def programs(folder: Path, *names: str) -> str:
    """A folder for PATH with these programs in it."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


def a_python(setup: ModuleType) -> None:
    setup.VENV_PYTHON.parent.mkdir(parents=True)
    setup.VENV_PYTHON.symlink_to(sys.executable)


# ---------------------------------------------------------------------- what is wanted
@pytest.mark.parametrize(
    ("variables", "on_path", "has_postgres", "wanted"),
    [
        ({}, (), False, ["packages", "terraform", "postgres", "sandbox"]),
        ({}, (), True, ["packages", "terraform", "sandbox"]),
        ({"DATABASE_URL": "postgresql://h/d"}, (), False, ["packages", "terraform", "sandbox"]),
        ({"TERRAFORM_BINARY": "/opt/tofu"}, (), True, ["packages", "sandbox"]),
        ({}, ("terraform",), True, ["packages", "terraform", "sandbox"]),  # the library is faster
        ({}, ("bwrap",), True, ["packages", "terraform"]),
    ],
)
def test_only_what_the_machine_lacks_is_wanted(
    setup, tmp_path, monkeypatch, variables, on_path, has_postgres, wanted
) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", *on_path))
    monkeypatch.setattr(setup, "has_postgres", lambda: has_postgres)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert setup.wanted_parts() == wanted


@pytest.mark.parametrize(
    ("on_path", "chosen"),
    [((), None), (("tofu",), "tofu"), (("terraform",), "terraform"), (("tofu", "terraform"), "terraform")],
)
def test_terraform_goes_before_opentofu(setup, tmp_path, monkeypatch, on_path, chosen) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", *on_path))
    assert setup.terraform_on_path() == chosen


def test_every_part_has_a_lock_with_hashes_and_says_what_its_lack_means() -> None:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "deploy" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert set(module.WITHOUT) == set(module.LOCKS) - {module.PACKAGES}
    for lock in module.LOCKS.values():
        entries = lock.read_text().replace("\\\n", "").strip().splitlines()
        assert entries
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries), lock


# ---------------------------------------------------------------------- what was done
def stamp(setup: ModuleType, **content: str) -> None:
    setup.STAMP.write_text(json.dumps(content))


def test_nothing_is_done_without_an_environment(setup) -> None:
    assert not setup.is_done(["packages"])
    assert setup.read_stamp() == {}


def test_what_was_installed_is_done_until_its_lock_changes(setup) -> None:
    a_python(setup)
    stamp(setup, folder=str(setup.VENV), packages=setup.digest("packages"), postgres=setup.digest("postgres"))
    assert setup.is_done(["packages", "postgres"])
    assert not setup.is_done(["packages", "postgres", "terraform"])
    setup.LOCKS["postgres"].write_text("another\n")
    assert not setup.is_done(["packages", "postgres"])
    assert setup.is_done(["packages"])


def test_what_failed_is_not_tried_at_every_start_but_with_another_lock(setup) -> None:
    a_python(setup)
    stamp(
        setup,
        folder=str(setup.VENV),
        packages=setup.digest("packages"),
        terraform=f"failed:{setup.digest('terraform')}",
    )
    assert setup.is_done(["packages", "terraform"])
    setup.LOCKS["terraform"].write_text("another\n")
    assert not setup.is_done(["packages", "terraform"])


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"folder": "/elsewhere", "packages": "x"}'])
def test_a_stamp_that_is_broken_or_of_a_moved_folder_counts_for_nothing(setup, content) -> None:
    a_python(setup)
    setup.STAMP.write_text(content)
    assert setup.read_stamp() == {}
    assert not setup.is_done(["packages"])


# ---------------------------------------------------------------------- installing
@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three packages."""
    folder = tmp_path_factory.mktemp("shelf")
    for name in ("paper", "ink", "pencil"):
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            info = f"{name}-1.0.dist-info"
            wheel.writestr(f"{name}.py", "")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def offline(setup: ModuleType, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A set-up whose package index is the shelf."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return setup


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environment") / "venv"


@pytest.fixture
def installing(offline: ModuleType, environment: Path) -> ModuleType:
    """One that shares its environment with other tests, as making one takes long, but not what it remembers."""
    offline.VENV = environment
    offline.VENV_PYTHON = environment / "bin" / "python"
    offline.STAMP = environment / "bootstrap.json"
    offline.STAMP.unlink(missing_ok=True)
    return offline


def locked(shelf: Path, name: str, digest: str = "") -> str:
    digest = digest or hashlib.sha256((shelf / f"{name}-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    return f"{name}==1.0 --hash=sha256:{digest}\n"


def has(setup: ModuleType, name: str) -> bool:
    asked = [setup.VENV_PYTHON, "-c", f"import {name}"]
    return subprocess.run(asked, stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_packages_are_installed_and_remembered_and_a_failed_part_is_a_warning(installing, shelf, capsys) -> None:
    installing.LOCKS["packages"].write_text(locked(shelf, "paper"))
    installing.LOCKS["postgres"].write_text(locked(shelf, "ink", "0" * 64))
    wanted = ["packages", "postgres"]
    installing.set_up(wanted, again=False)
    assert (has(installing, "paper"), has(installing, "ink")) == (True, False)
    remembered = installing.read_stamp()
    assert remembered["packages"] == installing.digest("packages")
    assert remembered["postgres"] == f"failed:{installing.digest('postgres')}"
    assert installing.is_done(wanted)
    assert "warning: postgres could not be installed" in capsys.readouterr().out
    # `make setup` tries again what failed, and nothing else.
    installing.LOCKS["postgres"].write_text(locked(shelf, "ink"))
    installing.set_up(wanted, again=True)
    said = capsys.readouterr().out
    assert "installing postgres" in said
    assert "installing the packages" not in said
    assert has(installing, "ink")
    assert installing.read_stamp()["postgres"] == installing.digest("postgres")


@pytest.mark.parametrize("hashes", ["wrong", "none"])
def test_a_package_without_its_hash_is_not_installed_and_ends_the_set_up(installing, shelf, hashes) -> None:
    lock = locked(shelf, "pencil", "0" * 64) if hashes == "wrong" else "pencil==1.0\n"
    installing.LOCKS["packages"].write_text(lock)
    with pytest.raises(SystemExit, match="could not be installed"):
        installing.set_up(["packages"], again=False)
    assert not has(installing, "pencil")
    assert not installing.is_done(["packages"])


def test_an_environment_is_kept_until_its_folder_moves(offline) -> None:
    assert not offline.environment_fits()
    offline.make_environment()
    assert offline.environment_fits()
    moved = offline.VENV.with_name("moved")
    offline.VENV.rename(moved)
    offline.VENV = moved
    offline.VENV_PYTHON = moved / "bin" / "python"
    assert not offline.environment_fits()


def test_an_environment_behind_a_link_is_left_alone(offline, tmp_path) -> None:
    """Making one anew would empty that of somebody else."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").touch()
    offline.VENV.symlink_to(theirs)
    with pytest.raises(SystemExit, match="remove the link"):
        offline.make_environment()
    assert (theirs / "kept").exists()


def test_pips_settings_are_said_to_uv(installing, monkeypatch) -> None:
    installing.make_environment()
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example.com/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://one.example.com https://two.example.com")
    said = installing.uv_environment()
    assert said["UV_DEFAULT_INDEX"] == "https://packages.example.com/simple"
    assert said["UV_INDEX"] == "https://one.example.com https://two.example.com"
    assert said["UV_NO_INDEX"] == "1"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://ours.example.com")
    assert installing.uv_environment()["UV_DEFAULT_INDEX"] == "https://ours.example.com"


# ---------------------------------------------------------------------- the browser
@pytest.mark.parametrize(
    ("on_path", "to_be_had", "tried"),
    [
        ((), {"chromium-headless-shell", "chromium"}, ["chromium-headless-shell"]),
        ((), {"chromium"}, ["chromium-headless-shell", "chromium"]),
        (("chromium",), {"chromium-headless-shell"}, ["chromium-headless-shell"]),
        (("chromium",), set(), ["chromium-headless-shell"]),
        (("chromium-headless-shell",), {"chromium"}, []),
        ((), set(), ["chromium-headless-shell", "chromium"]),
    ],
)
def test_the_lightest_chromium_is_installed_and_tried_once(
    setup, tmp_path, monkeypatch, capsys, on_path, to_be_had, tried
) -> None:
    asked: list[str] = []

    def install(package: str, *_: str) -> bool:
        asked.append(package)
        if package in to_be_had:
            programs(tmp_path / "bin", package)
        return package in to_be_had

    a_python(setup)
    stamp(setup, folder=str(setup.VENV), packages="x")
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", "apt-get", *on_path))
    monkeypatch.setattr(setup.os, "geteuid", lambda: 0)
    monkeypatch.setattr(setup, "os_release", lambda: "ID=debian\n")
    monkeypatch.setattr(setup, "apt_install", install)
    setup.see_to_browser()
    assert asked == tried
    has_one = bool(on_path or to_be_had)
    assert ("warning: the browser tests need Chromium" in capsys.readouterr().out) is not has_one
    setup.see_to_browser()
    assert asked == (tried if has_one else tried * 2)
    assert setup.lacks_browser() is not has_one
    setup.see_to_browser(again=True)
    has_shell = "chromium-headless-shell" in on_path or "chromium-headless-shell" in to_be_had
    assert asked[-1:] == (tried[-1:] if has_shell or not has_one else ["chromium-headless-shell"])
    assert setup.read_stamp()["packages"] == "x"


def test_without_rights_another_chromium_will_do(setup, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", "apt-get", "chromium"))
    monkeypatch.setattr(setup.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(setup, "os_release", lambda: "ID=debian\n")
    assert not setup.lacks_browser()
    assert not setup.lacks_browser(again=True)
