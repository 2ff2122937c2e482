"""The operator's CLI configuration, merged with the daemon's settings."""

import os
from pathlib import Path

import pytest

from provisioning.engine.base import EngineError
from provisioning.engine.terraform import EngineSettings
from provisioning.engine.terraform.provider_sources import ProviderSources, load, problems, store_folder

TOY = "registry.example.com/acme/toy"
NULL = "registry.terraform.io/hashicorp/null"


def loaded(folder: Path, text: str, **options: object) -> ProviderSources:
    path = folder / "operator.rc"
    path.write_text(text)
    return load(EngineSettings(cli_config=path, **options))  # type: ignore[arg-type]


def kinds(sources: ProviderSources, address: str) -> list[str]:
    return [method.kind for method in sources.methods_for(address)]


def test_without_a_configuration_registries_are_allowed_by_the_setting() -> None:
    sources = load(EngineSettings(registries=("registry.terraform.io",)))
    assert kinds(sources, NULL) == ["direct"]
    assert kinds(sources, TOY) == []
    assert sources.refusal(TOY) == "the registry registry.example.com is not allowed on this daemon"


def test_registries_limit_direct_installation_of_a_configuration_too(tmp_path: Path) -> None:
    assert kinds(loaded(tmp_path, "# nothing\n"), TOY) == []
    assert kinds(loaded(tmp_path, "provider_installation {\n  direct {}\n}\n"), TOY) == []
    for named in (
        'credentials "registry.example.com" {\n  token = "x"\n}\n',
        'host "registry.example.com" {\n  services = {}\n}\n',
        'provider_installation {\n  direct {\n    include = ["registry.example.com/*/*"]\n  }\n}\n',
    ):
        assert kinds(loaded(tmp_path, named), TOY) == ["direct"]


def test_mirrors_serve_every_registry_in_their_order(tmp_path: Path) -> None:
    text = """
    provider_installation {
      network_mirror { url = "https://mirror.example.com/" }
      filesystem_mirror {
        path    = "/srv/mirror"
        include = ["registry.example.com/*/*", "hashicorp/null"]
        exclude = ["registry.example.com/acme/car"]
      }
      direct { exclude = ["registry.example.com/*/*"] }
    }
    """
    sources = loaded(tmp_path, text)
    assert kinds(sources, TOY) == ["network_mirror", "filesystem_mirror"]
    assert kinds(sources, NULL) == ["network_mirror", "filesystem_mirror", "direct"]
    assert kinds(sources, "registry.example.com/acme/car") == ["network_mirror"]
    assert kinds(loaded(tmp_path, text, network=False), NULL) == ["filesystem_mirror"]
    assert sources.folders == (Path("/srv/mirror"),)


def test_everything_else_is_kept_and_our_own_items_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHES", str(tmp_path))
    sources = loaded(
        tmp_path,
        'plugin_cache_dir = "$CACHES/providers"\ncredentials "a.example.com" {\n  token = "x"\n}\n'
        'provider_installation {\n  dev_overrides {\n    "acme/toy" = "/toys"\n  }\n  direct {}\n}\n',
    )
    assert store_folder(EngineSettings(plugin_cache=Path("/other")), sources) == tmp_path / "providers"
    assert sources.overrides == {"registry.terraform.io/acme/toy": Path("/toys")}
    config = sources.config(sources.methods_for(NULL), cache=Path("/own"))
    assert config == (
        'disable_checkpoint = true\ncredentials "a.example.com" {\n  token = "x"\n}\nplugin_cache_dir = "/own"\n'
        "plugin_cache_may_break_dependency_lock_file = false\nprovider_installation {\ndirect {}\n}\n"
    )


def test_a_configuration_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"PROVISIONER_CLI_CONFIG: .*operator.rc: line 1: expected a name"):
        loaded(tmp_path, "{}")
    with pytest.raises(EngineError, match="PROVISIONER_CLI_CONFIG: cannot read /none: No such file"):
        load(EngineSettings(cli_config=Path("/none")))


def test_problems_name_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join([str(tmp_path), "/none"]))
    (tmp_path / "file").write_text("")
    path = tmp_path / "operator.rc"
    path.write_text(
        f'plugin_cache_dir = "{tmp_path}/file/cache"\ncredentials_helper "x" {{}}\nprovider_installation {{\n'
        f'  dev_overrides {{\n    "acme/toy" = "{tmp_path}"\n  }}\n'
        '  filesystem_mirror {\n    path = "/none"\n  }\n}\n'
    )
    where = f"PROVISIONER_CLI_CONFIG: {path}"
    assert problems(EngineSettings(cli_config=path)) == [
        f"SSL_CERT_FILE: {tmp_path}/none.pem does not exist",
        "SSL_CERT_DIR: /none does not exist",
        f"{where}: filesystem_mirror: /none does not exist",
        f"{where}: dev_overrides: {tmp_path} has no program terraform-provider-toy",
        f"{where}: credentials_helper is ignored: use credentials blocks",
        f"the cache of providers {tmp_path}/file/cache cannot be created: Not a directory",
    ]


def test_a_working_configuration_has_no_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "operator.rc"
    path.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{tmp_path}"\n  }}\n}}\n')
    assert problems(EngineSettings(cli_config=path, plugin_cache=tmp_path / "cache")) == []
