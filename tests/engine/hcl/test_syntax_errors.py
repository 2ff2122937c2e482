"""Broken and hostile templates: the reader reports a clear error at the right location."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from provisioning.engine.base import EngineError
from provisioning.engine.hcl import TemplateSyntaxError, read_module

from .conftest import Read


@pytest.mark.parametrize(
    ("text", "summary", "line"),
    [
        ('variable "a" {\n  default =\n}\nvariable "b" {}\n', "Missing expression after the equals sign", 2),
        ('variable "a" {\n  default = "x"\n\noutput "b" {\n  value = 1\n}\n', "Unclosed block or object", 1),
        ('variable "a" {\n  default = "abc\n}\n\nvariable "b" {\n  default = "x"\n}\n', "Unterminated string", 2),
        ('x = <<EOT\nhello\n\nvariable "b" {}\n', "Unterminated heredoc", 1),
        ("locals {\n  a = 1\n}\n}\n", 'Unexpected "}"', 4),
        ("locals {\n  a = [1, 2\n  b = 3\n}\n", 'Unexpected "b"', 3),
        ("locals {\n  a = [1 2]\n}\n", 'Unexpected "2"', 2),
        ("locals {\n  a = @\n}\n", 'Unexpected "@"', 2),
        ('locals {\n  a = "\\q"\n}\n', 'Unexpected "\\"', 2),
        ("locals {\n  a = 1, b = 2\n}\n", 'Unexpected ","', 2),
        ("locals {\n  a = 'x'\n}\n", 'Unexpected "\'"', 2),
        ("locals {\n  type here = 1\n}\n", 'Unexpected "="', 2),
        ("locals { a = 1 b = 2 }\n", "A single-line block can hold only one argument", 1),
        ("locals {\n  a = 1 b = 2\n}\n", "Missing line break after the argument", 2),
        ("locals {\n  a = 1 }\n", "Missing line break before the closing brace", 2),
        ("locals {} locals {}\n", "Missing line break after the block", 1),
        ("locals\n{\n}\n", "A block's opening brace must be on the same line as its name", 1),
        ("locals {\n  a =\n    1\n}\n", "must start on the same line", 2),
        ("locals {\n  a = 1\n  a = 2\n}\n", 'The argument "a" is set twice', 3),
        ("variable {}\n", "Missing name for variable", 1),
        ('resource "x" {}\n', "Missing name for resource", 1),
        ('variable "a" "b" {}\n', "Too many labels for variable", 1),
        ('variable "a-${x}" {}\n', "A label cannot contain references", 1),
        ('variable "a" {}\n\nvariable "a" {}\n', 'Duplicate variable "a": already declared at main.tf:1', 3),
    ],
)
def test_an_error_names_its_line(read: Read, text: str, summary: str, line: int) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        read(text)
    first, source = str(caught.value).split("\n")[:2]
    assert first.startswith("ERROR: ")
    assert summary in first
    assert first.endswith(f"(main.tf:{line})")
    assert source == "> " + text.split("\n")[line - 1].strip()


def test_errors_of_all_files_are_listed_in_order(read: Read) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        read({"b.tf": "x = [\n", "a.tf": "x = @\n", "c.tf": "x = 1\n"})
    assert [str(problem.location) for problem in caught.value.problems] == ["a.tf:1", "b.tf:1"]


def test_at_most_twenty_errors_are_shown(read: Read) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        read("locals {\n" + "  a = 1\n" * 30 + "}\n")
    assert str(caught.value).count("ERROR: ") == 20
    assert str(caught.value).endswith("… and 9 more")


def test_a_long_line_is_truncated(read: Read) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        read("x = @" + "y" * 10_000 + "\n")
    assert len(str(caught.value)) < 400


def test_a_folder_without_configuration_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# nothing")
    with pytest.raises(EngineError, match=r"no \.tf file in the template"):
        read_module(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n"variable": {\n}', r"Invalid JSON: .* \(main.tf.json:3\)"),
        ("[1]", r"The file must hold a JSON object \(main.tf.json:1\)"),
        ("[" * 10_000, "nested too deeply"),
        ('{"variable": {"x": {"default": ' + "9" * 5000 + "}}}", "Invalid JSON"),
    ],
)
def test_broken_json_is_an_error_with_its_line(read: Read, text: str, expected: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=expected):
        read({"main.tf.json": text})


def test_a_file_that_is_not_utf8_is_an_error_with_its_line(read: Read) -> None:
    with pytest.raises(TemplateSyntaxError, match=r"not valid UTF-8 \(latin.tf:2\)"):
        read({"main.tf": "", "latin.tf": b"# ok\n# caf\xe9\n"})


def test_a_file_that_is_too_large_is_an_error(read: Read) -> None:
    with pytest.raises(EngineError, match=r"big.tf is larger than 4 MiB"):
        read({"big.tf": "#" * ((4 << 20) + 1)})


@pytest.mark.parametrize("name", ["main.tofu", "main.tofu.json"])
def test_files_that_only_opentofu_reads_are_rejected(read: Read, name: str) -> None:
    with pytest.raises(EngineError, match=f"{name}: configuration must be in .tf or .tf.json files"):
        read({"main.tf": "", name: ""})


def test_links_and_special_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('variable "a" {}\n')
    (tmp_path / "link.tf").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.tf")
    (tmp_path / "folder.tf").mkdir()
    (tmp_path / ".hidden.tf").write_text("x = @")
    assert [variable.name for variable in read_module(tmp_path).variables] == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 10_000 + "]" * 10_000 + "\n",
        'variable "a" {\n  default = ' + "[" * 10_000 + "]" * 10_000 + "\n}\n",
        'variable "a" {\n  default = ' + "(" * 10_000 + "1" + ")" * 10_000 + "\n}\n",
        'variable "a" {\n  default = ' + "!" * 10_000 + "true\n}\n",
        'variable "a" {\n  default = ' + "1 + " * 10_000 + "1\n}\n",
        "a {\n" * 10_000 + "}\n" * 10_000,
        "x = " + "[" * 10_000,
        "x = " + '"${' * 10_000 + "\n",
        "x = <<" + "E" * 10_000 + "\n",
        'x = "' + "\0" * 10_000 + '"\n',
        "x = a" + ".b" * 10_000 + "\n",
        "x = a" + "[0]" * 10_000 + "\n",
        "\n" * 100_000 + "x = @\n",
    ],
    ids=lambda text: text[:24].replace("\n", " "),
)
def test_hostile_input_is_read_or_raises_a_syntax_error(read: Read, text: str) -> None:
    with suppress(TemplateSyntaxError):
        read(text)


def test_recursive_module_calls_are_an_error(read: Read) -> None:
    with pytest.raises(EngineError, match=r"module a\.b calls itself"):
        read(
            {
                "main.tf": 'module "a" {\n  source = "./a"\n}\n',
                "a/main.tf": 'module "b" {\n  source = "./../a"\n}\n',
            }
        )


def test_too_many_module_calls_are_an_error(read: Read) -> None:
    files: dict[str, str | bytes] = {}
    for level in range(20):
        calls = "".join(f'module "m{n}" {{\n  source = "./{"x" if level == 0 else "../"}{level}"\n}}\n' for n in (1, 2))
        folder = "" if level == 0 else f"{'x0' if level == 1 else level - 1}/"
        files[f"{folder}main.tf"] = calls
    with pytest.raises(EngineError, match="more than 500 module calls"):
        read(files)


def test_an_error_in_a_local_module_names_its_path(read: Read) -> None:
    with pytest.raises(TemplateSyntaxError, match=r"\(modules/disk/main.tf:1\)"):
        read({"main.tf": 'module "d" {\n  source = "./modules/disk"\n}\n', "modules/disk/main.tf": "x = @\n"})
