"""Resolution order of the Pulumi CLI: named, on PATH and recent enough, built; and errors of each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform import pulumi_search, toolchain


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv(pulumi_search.SETTING_ENV, raising=False)


def fake_cli(directory: Path, version: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "pulumi"
    file.write_text(f"#!/bin/sh\necho v{version}\n")
    file.chmod(0o755)
    return file


def on_path(monkeypatch: pytest.MonkeyPatch, *directories: Path) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, directories), "/usr/bin", "/bin"]))


def test_nothing_is_found_where_nothing_is() -> None:
    assert toolchain.find() is None


def test_the_environment_wins_over_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pulumi_search.SETTING_ENV, str(fake_cli(tmp_path / "b", "3.2.0")))
    on_path(monkeypatch, fake_cli(tmp_path / "c", "3.300.0").parent)
    found = toolchain.find()
    assert found is not None
    assert (found.version, found.source) == ("3.2.0", "named by OVERLAB_PULUMI")


@pytest.mark.parametrize(
    ("version", "taken"), [("3.259.0", True), ("3.300.1", True), ("4.0.0", True), ("3.99.9", False)]
)
def test_path_counts_from_the_known_version_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, taken: bool
) -> None:
    on_path(monkeypatch, fake_cli(tmp_path / "bin", version).parent)
    found = toolchain.find()
    assert (found is not None) == taken
    if found is not None:
        assert found.version == version


def test_the_installers_directory_counts_also_for_the_user_behind_sudo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = fake_cli(tmp_path / "home" / ".pulumi" / "bin", toolchain.VERSION)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("HOME", str(tmp_path / "root"))
    monkeypatch.setenv("SUDO_USER", "no-such-user")
    assert toolchain.find() is None
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = toolchain.find()
    assert found is not None
    assert found.path == cli


def test_an_older_cli_is_named_beside_the_one_that_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = fake_cli(tmp_path, "3.1.0")
    on_path(monkeypatch, tmp_path)
    monkeypatch.setattr(shutil, "which", lambda *_args, **_kwargs: None)
    with pytest.raises(OverlabError, match=rf"no Pulumi CLI from 3\.259\.0 on was found \({older} is 3\.1\.0\)"):
        toolchain.ensure(Progress(quiet=True))


def test_links_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fake_cli(tmp_path / "real", toolchain.VERSION)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pulumi").symlink_to(real)
    on_path(monkeypatch, tmp_path / "bin")
    found = toolchain.find()
    assert found is not None
    assert found.path == real


def test_a_labs_own_shim_is_never_used_as_the_cli(monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, fake_cli(LabPaths("t-x").bin, toolchain.VERSION).parent)
    assert toolchain.find() is None


def test_a_named_cli_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pulumi_search.SETTING_ENV, "/nowhere/pulumi")
    with pytest.raises(OverlabError, match=r"OVERLAB_PULUMI=/nowhere/pulumi is not an executable file"):
        toolchain.find()


def test_without_go_the_remedy_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_kwargs: None)
    with pytest.raises(OverlabError, match=r"no Go to build one\n.*install Go >= 1\.25\.11"):
        toolchain.ensure(Progress(quiet=True))


def test_an_old_go_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho go1.19.8\n")
    go.chmod(0o755)
    on_path(monkeypatch, tmp_path)
    with pytest.raises(OverlabError, match=r"is Go 1\.19\.8, too old"):
        toolchain.ensure(Progress(quiet=True))


def test_a_build_that_fails_leaves_nothing_and_shows_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\n[ "$1" = env ] && echo go1.99.0 && exit\necho "no such module" >&2\nexit 1\n')
    go.chmod(0o755)
    on_path(monkeypatch, tmp_path)
    with pytest.raises(OverlabError, match=r"(?s)go build .*exit code 1.*no such module"):
        toolchain.ensure(Progress(quiet=True))
    assert toolchain.find() is None
    assert not list((tmp_path / "cache" / "pulumi-cli").glob("[!.]*"))


def test_the_built_one_lies_alone_and_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A language host beside the binary would win over the lab's own."""
    go = tmp_path / "go"
    script = f"""#!/bin/sh
[ "$1" = env ] && echo go1.99.0 && exit
while [ "$1" != -o ]; do shift; done
[ -f go.mod ] && [ -f go.sum ] && [ -f tools.go ] || exit 9
printf '#!/bin/sh\\necho v{toolchain.VERSION}\\n' > "$2"
chmod +x "$2"
"""
    go.write_text(script)
    go.chmod(0o755)
    on_path(monkeypatch, tmp_path)
    made = toolchain.ensure(Progress(quiet=True))
    assert [path.name for path in made.path.parent.iterdir()] == ["pulumi"]
    go.unlink()
    assert toolchain.ensure(Progress(quiet=True)) == made
