"""Static files: collected once, with a hash in their names, compressed."""

import json

import pytest

from coderproj.console import static_files
from coderproj.console.static_files import HashedStaticFiles, QuickCompressor, collect


@pytest.fixture
def sources(tmp_path, settings):
    """A folder of sources in place of all others."""
    folder = tmp_path / "sources"
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "a.css").write_text('@import url("b.css");\n' + "p { color: red; }\n" * 50)
    (folder / "own" / "b.css").write_text("b { color: blue; }\n" * 50)
    settings.STATICFILES_DIRS = [folder]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = None
    return folder


def test_names_carry_a_hash_once_they_are_collected(sources, tmp_path):
    assert HashedStaticFiles().url("own/a.css") == "/static/own/a.css"
    assert collect(tmp_path / "out") is True
    names = json.loads((tmp_path / "out" / "staticfiles.json").read_text())["paths"]
    hashed = names["own/a.css"]
    assert hashed != "own/a.css"
    assert HashedStaticFiles().url("own/a.css") == f"/static/{hashed}"
    assert names["own/b.css"].rpartition("/")[2] in (tmp_path / "out" / hashed).read_text()
    assert (tmp_path / "out" / f"{hashed}.br").exists()
    assert not (tmp_path / "out" / f"{hashed}.gz").exists()


def test_nothing_is_done_until_a_file_changes(sources, tmp_path):
    assert collect(tmp_path / "out") is True
    assert collect(tmp_path / "out") is False
    before = HashedStaticFiles().url("own/b.css")
    (sources / "own" / "b.css").write_text("b { color: green; }\n" * 50)
    assert collect(tmp_path / "out") is True
    assert HashedStaticFiles().url("own/b.css") != before


def test_what_nobody_asks_for_is_left_out(sources, tmp_path):
    (sources / "own" / "LICENSE.txt").write_text("free")
    collect(tmp_path / "out")
    assert not list((tmp_path / "out").rglob("LICENSE*"))


def test_compressing_is_worth_it():
    text = b"p { color: red; }\n" * 500
    assert len(QuickCompressor.compress_brotli(text)) < len(text) / 20
    assert static_files.BROTLI_QUALITY < 11
