"""The syntax of CLI configurations and lock files."""

import pytest

from provisioning.engine.terraform.config_syntax import MAX_DEPTH, ConfigSyntaxError, parse, quoted


def test_blocks_assignments_and_comments() -> None:
    body = parse(
        """
        # one
        plugin_cache_dir = "/a \\"b\\"" // two
        disable_checkpoint = true
        credentials "app.example.com" { token = "x" } /* three
        lines */
        provider_installation {
          dev_overrides { "acme/toy" = "/toys" }
          dev_overrides = { acme/car = "/cars" }
          direct { exclude = ["a/*/*", "b/*/*",] }
        }
        """
    )
    assert body.first("plugin_cache_dir").text == '/a "b"'
    assert body.first("disable_checkpoint").value is True
    (credentials,) = body.of("credentials")
    assert (credentials.labels, credentials.body.first("token").text) == (("app.example.com",), "x")
    assert credentials.source == 'credentials "app.example.com" { token = "x" }'
    installation = body.first("provider_installation").body
    overrides = [(one.name, one.text) for item in installation.of("dev_overrides") for one in item.body.items]
    assert overrides == [("acme/toy", "/toys"), ("acme/car", "/cars")]
    assert installation.first("direct").body.first("exclude").texts == ("a/*/*", "b/*/*")
    assert body.first("missing").text == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a = 1\nb = = 2", "line 2: unexpected ="),
        ("a {\n  b = 1\n", "line 2: expected }"),
        ('a = "open\n', "line 1: unexpected '\"'"),
        ("a\n}", "line 2: expected = or { after a"),
        ("}", "line 1: unexpected }"),
        ("{}", "line 1: expected a name"),
        ("a {" * (MAX_DEPTH + 2), f"line 1: more than {MAX_DEPTH} nested blocks"),
        ("a = " + "[" * 100_000, "line 1: unexpected ["),
    ],
)
def test_errors_name_their_line(source: str, message: str) -> None:
    with pytest.raises(ConfigSyntaxError) as caught:
        parse(source)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["plain", 'a "quoted" \\ text', "two\nlines", "tab\there"])
def test_quoted_texts_are_read_back(text: str) -> None:
    assert parse(f"a = {quoted(text)}").first("a").text == text
