"""Static files: collected once, with a hash in their names, compressed."""

import json

import pytest

from coderproj.console import static_files
from coderproj.console.static_files import HashedStaticFiles, QuickCompressor, collect


@pytest.fixture
def sources(tmp_path, settings):
    """The only folder with static files."""
    folder = tmp_path / "sources"
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "a.css").write_text('@import url("b.css");\n' + "p { color: red; }\n" * 50)
    (folder / "own" / "b.css").write_text("b { color: blue; }\n" * 50)
    settings.STATICFILES_DIRS = [folder]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = None
    return folder


def test_collected_files_have_hashed_names(sources, tmp_path):
    assert HashedStaticFiles().url("own/a.css") == "/static/own/a.css"
    assert collect(tmp_path / "out") is True
    names = json.loads((tmp_path / "out" / "staticfiles.json").read_text())["paths"]
    hashed = names["own/a.css"]
    assert hashed != "own/a.css"
    assert HashedStaticFiles().url("own/a.css") == f"/static/{hashed}"
    assert names["own/b.css"].rpartition("/")[2] in (tmp_path / "out" / hashed).read_text()
    assert (tmp_path / "out" / f"{hashed}.br").exists()
    assert not (tmp_path / "out" / f"{hashed}.gz").exists()


def test_files_are_collected_again_only_after_a_change(sources, tmp_path):
    assert collect(tmp_path / "out") is True
    assert collect(tmp_path / "out") is False
    before = HashedStaticFiles().url("own/b.css")
    (sources / "own" / "b.css").write_text("b { color: green; }\n" * 50)
    assert collect(tmp_path / "out") is True
    assert HashedStaticFiles().url("own/b.css") != before


def test_unused_files_are_not_collected(sources, tmp_path):
    (sources / "own" / "LICENSE.txt").write_text("free")
    collect(tmp_path / "out")
    assert not list((tmp_path / "out").rglob("LICENSE*"))


def test_compressed_files_are_smaller():
    text = b"p { color: red; }\n" * 500
    assert len(QuickCompressor.compress_brotli(text)) < len(text) / 20
    assert static_files.BROTLI_QUALITY < 11
