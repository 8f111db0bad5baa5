"""One lab has one owner, recovers after a crash, and is removed completely."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from components.config.platform import Hypervisor, Identity, MachineImage, NodeEngine, Platform
from components.config.settings import Settings, parse
from overlab import doctor
from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.paths import LabPaths, run_root
from overlab.core.progress import Progress
from overlab.platform import debian, plugins, preflight, prepare, pulumi_search
from overlab.platform.manifest import PlatformManifest, checkout, fingerprints, inputs_digest
from overlab.platform.preflight import PartReport
from overlab.platform.private_dockerd import PrivateDockerd
from overlab.platform.private_libvirtd import PrivateLibvirtd

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network and mount namespaces")

_RAW = {
    "underlay": {"cidr": "10.97.0.0/24"},
    "nodes": {"docker01": {}, "docker02": {}},
    "store": {"node": "docker01"},
    "networks": {"ov_net1": {"created_on": "docker01", "subnet": "10.0.0.0/24"}},
    "workloads": {"t1": {"node": "docker01", "networks": ["ov_net1"]}},
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OVERLAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def settings() -> Settings:
    return parse({**_RAW, "name": f"t-p{os.getpid()}"}, "t")


@pytest.fixture
def progress() -> Progress:
    return Progress(quiet=True)


@pytest.fixture
def paths(settings: Settings, progress: Progress) -> Iterator[LabPaths]:
    paths = LabPaths(settings.name)
    yield paths
    if os.geteuid() == 0:
        prepare.teardown(settings.name, progress)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image"
    file.write_text("image")
    return file


def record(settings: Settings, paths: LabPaths, image: Path, by: Path | None = None) -> Platform:
    """What a preparation of this lab leaves, without its daemons."""
    nowhere = Path("/nowhere")
    paths.run.mkdir(parents=True, exist_ok=True)
    platform = Platform(
        kind="bundled",
        hypervisor=Hypervisor(
            uri=PrivateLibvirtd(paths).uri, pool_path=PrivateLibvirtd(paths).pool_path, domain_type="qemu"
        ),
        image=MachineImage(source=str(image), content_hash="0" * 16),
        identity=Identity(client_key=nowhere, client_public_key=nowhere, known_hosts=nowhere, host_keys={}),
        run_dir=paths.run,
    )
    write_private(paths.record, platform.model_dump_json().encode())
    cli = paths.state / "pulumi"
    write_private(cli, b"", 0o755)
    plugins.install(paths, cli)
    PlatformManifest(
        checkout=by or checkout(),
        inputs=inputs_digest(settings, prepare._tools(cli)),
        files=fingerprints([image]),
        cli=cli,
        cli_version="3.259.0",
        sources={"plugin docker": "5.1.0, bundled"},
        bundled_plugins=True,
        images=None,
    ).save(paths)
    return platform


@pytest.mark.root
@needs_root
def test_ready_only_while_everything_is_alive_and_current(
    settings: Settings, paths: LabPaths, image: Path, progress: Progress
) -> None:
    assert prepare.ready(settings) is None
    platform = record(settings, paths, image)
    assert prepare.ready(settings) is None  # nothing runs
    PrivateLibvirtd(paths).ensure(progress)
    assert prepare.ready(settings) == platform
    interrupted = paths.identity / "tls.new"
    interrupted.mkdir(parents=True)
    assert prepare.ready(settings) is None  # a rotation was interrupted
    interrupted.rmdir()
    other = {**_RAW, "name": settings.name, "nodes": {"docker01": {}, "docker02": {}, "docker03": {}}}
    assert prepare.ready(parse(other, "t")) is None  # keys of a new node are missing
    image.write_text("another image")
    assert prepare.ready(settings) is None


@pytest.mark.root
@needs_root
def test_daemons_that_ended_are_restarted(settings: Settings, paths: LabPaths, image: Path, progress: Progress) -> None:
    assert prepare.restart_daemons(settings.name, progress) is None
    platform = record(settings, paths, image)
    assert prepare.restart_daemons(settings.name, progress) == platform
    assert PrivateLibvirtd(paths).alive()


@pytest.mark.root
@needs_root
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # Docker's client, where a connection is refused
def test_a_lab_of_containers_has_an_engine_restarted_and_removed(
    settings: Settings, paths: LabPaths, image: Path, progress: Progress
) -> None:
    containers = parse({**_RAW, "name": settings.name, "machine": {"kind": "container"}}, "t")
    engine = PrivateDockerd(paths)
    facts = NodeEngine(
        docker_host=engine.host, image="node:1", privileged=True, capabilities=(), cgroup_namespace="host"
    )
    platform = record(containers, paths, image).model_copy(
        update={"hypervisor": None, "image": None, "node_engine": facts}
    )
    write_private(paths.record, platform.model_dump_json().encode())
    assert prepare.ready(containers) is None  # nothing runs
    assert prepare.restart_daemons(settings.name, progress) == platform
    assert engine.alive()
    assert not PrivateLibvirtd(paths).alive()
    assert prepare.ready(containers) == platform
    assert prepare.ready(settings) is None  # its nodes would be machines
    processes = PrivateLibvirtd(paths).namespace.processes()
    prepare.teardown(settings.name, progress)
    assert not any(process.alive() for process in processes)
    assert not paths.state.exists()
    assert not paths.run.exists()
    assert not PrivateLibvirtd(paths).namespace.path.exists()
    gc.collect()


@pytest.mark.root
@needs_root
def test_teardown_leaves_nothing_and_may_be_repeated(
    settings: Settings, paths: LabPaths, image: Path, progress: Progress
) -> None:
    record(settings, paths, image)
    PrivateLibvirtd(paths).ensure(progress)
    processes = PrivateLibvirtd(paths).namespace.processes()
    for _ in range(2):
        prepare.teardown(settings.name, progress)
        assert not any(process.alive() for process in processes)
        assert not paths.state.exists()
        assert not paths.run.exists()
        assert not PrivateLibvirtd(paths).namespace.path.exists()
        assert not (run_root() / f".{settings.name}.lock").exists()


@pytest.mark.root
@needs_root
def test_a_lab_that_is_up_from_another_checkout_is_refused(
    settings: Settings,
    paths: LabPaths,
    image: Path,
    progress: Progress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preflight, "require", lambda *_: None)
    monkeypatch.setattr(prepare, "_make_parts", lambda *_: pytest.fail("it went on to prepare"))
    record(settings, paths, image, by=tmp_path)
    PrivateLibvirtd(paths).ensure(progress)
    before = prepare.read_record(paths)
    with pytest.raises(
        OverlabError, match=rf"is up from another checkout, {tmp_path}\n.*another name.*make down PLATFORM=1"
    ):
        prepare.prepare(settings, progress)
    assert prepare.read_record(paths) == before
    assert PrivateLibvirtd(paths).alive()


@pytest.mark.root
@needs_root
def test_a_lab_of_the_same_name_with_another_state_directory_survives_a_teardown(
    settings: Settings, paths: LabPaths, progress: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "theirs"))
    theirs = PrivateLibvirtd(LabPaths(settings.name))
    theirs.ensure(progress)
    before = theirs.namespace.processes()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "ours"))
    ours = LabPaths(settings.name)
    with pytest.raises(OverlabError, match="is not this lab's own"):
        PrivateLibvirtd(ours).ensure(progress)
    prepare.teardown(settings.name, progress)
    assert not ours.state.exists()
    try:
        assert theirs.alive()
        assert theirs.namespace.processes() == before
    finally:
        theirs.stop()


def test_a_platform_whose_machines_would_be_orphaned_is_not_removed(
    settings: Settings, paths: LabPaths, image: Path
) -> None:
    platform = record(settings, paths, image)
    prepare.refuse_orphaning(settings.name)
    places = {
        name: Hypervisor(uri=f"qemu+ssh://{name}/system", pool_path="/p", domain_type="kvm") for name in ("a", "b")
    }
    system_platform = platform.model_copy(update={"kind": "system", "hypervisor": None, "hypervisors": places})
    write_private(paths.record, system_platform.model_dump_json().encode())
    with pytest.raises(OverlabError, match=r"qemu\+ssh://a/system, qemu\+ssh://b/system.*\n.*overlab down --platform"):
        prepare.refuse_orphaning(settings.name)


@pytest.mark.parametrize("gone", ["its platform is down", "the checkout is gone"])
def test_a_lab_that_is_down_or_whose_checkout_is_gone_is_adopted(
    settings: Settings,
    paths: LabPaths,
    image: Path,
    progress: Progress,
    tmp_path: Path,
    gone: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preflight, "require", lambda *_: None)
    reached = []
    monkeypatch.setattr(prepare, "_make_parts", lambda *_: reached.append(1))
    monkeypatch.setattr(prepare, "_record", lambda *_: None)
    if gone == "the checkout is gone":
        monkeypatch.setattr(PrivateLibvirtd, "alive", lambda _: True)
    record(settings, paths, image, by=tmp_path if gone == "its platform is down" else tmp_path / "gone")
    prepare.prepare(settings, progress)
    assert reached


def test_a_second_command_waits_and_shows_for_what(settings: Settings, paths: LabPaths) -> None:
    seen: list[str] = []
    progress = Progress(quiet=True)
    entered = threading.Event()

    def second() -> None:
        progress.waiting_for = seen.append  # type: ignore[method-assign,assignment]  # records instead of showing
        with prepare._only_one(paths, progress):
            entered.set()

    run_root().mkdir(parents=True, exist_ok=True, mode=0o700)
    thread = threading.Thread(target=second)
    with FileLock(run_root() / f".{settings.name}.lock"):
        thread.start()
        assert not entered.wait(1.5)
    thread.join(10)
    assert entered.is_set()
    assert f"another command that prepares or removes the platform of lab {settings.name}" in seen


# -- CLI and plugins: the settings for them, and what was found ------------------------------------


@pytest.fixture
def system(settings: Settings, paths: LabPaths, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared lab on a system hypervisor, its docker plugin linked from the user's own PULUMI_HOME, returned."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for variable in ("PULUMI_HOME", plugins.CHOICE_ENV, pulumi_search.SETTING_ENV):
        monkeypatch.delenv(variable, raising=False)
    [docker] = [one for one in plugins.PLUGINS if one.name == "docker"]
    official = tmp_path / "home" / ".pulumi" / "plugins" / docker.directory / docker.file
    write_private(official, b"#!/bin/sh\n", 0o755)
    platform = record(settings, paths, image)
    write_private(paths.record, platform.model_copy(update={"kind": "system"}).model_dump_json().encode())
    assert prepare.ready(settings) is not None
    return official


def test_another_setting_for_cli_or_plugins_makes_a_platform_outdated(
    settings: Settings, system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugins.CHOICE_ENV, "bundled")
    assert prepare.ready(settings) is None
    monkeypatch.setenv(plugins.CHOICE_ENV, "auto")
    assert prepare.ready(settings) is not None
    monkeypatch.setenv(pulumi_search.SETTING_ENV, str(tmp_path / "pulumi"))
    assert prepare.ready(settings) is None


def test_what_appears_on_path_makes_a_platform_outdated(
    settings: Settings, system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for name in ("pulumi-resource-libvirt", "pulumi"):
        write_private(tmp_path / "bin" / name, b"#!/bin/sh\n", 0o755)
        assert prepare.ready(settings) is None
        (tmp_path / "bin" / name).unlink()
        assert prepare.ready(settings) is not None


@pytest.mark.parametrize("how", ["the official one is gone", "the launcher is gone", "it is another checkout's"])
def test_a_vanished_plugin_is_reported_and_repaired_by_the_next_command(
    settings: Settings, paths: LabPaths, progress: Progress, system: Path, how: str
) -> None:
    files = {file.name: file for file in (paths.pulumi_home / "plugins").glob("*/pulumi-*")}
    if how == "the official one is gone":
        system.unlink()
        broken = files["pulumi-resource-docker"]
        assert broken.is_symlink()
        assert not broken.exists()
    else:
        broken = files["pulumi-resource-libvirt"]
        if how == "the launcher is gone":
            broken.unlink()
        else:
            broken.write_text("# overlab bundled plugin")
    assert prepare.ready(settings) is None
    name = broken.name.removeprefix("pulumi-resource-")
    assert name in plugins.problems(paths, paths.state / "pulumi")
    if name == "docker":
        [found] = [one for one in doctor.examine("t", settings) if one.part == "lab: plugin docker"]
        assert found.status == "warning"
        assert f"linked to {system}, which is gone; now: bundled" in found.found
    assert prepare.restart_daemons(settings.name, progress) is not None  # as `down` does
    assert plugins.problems(paths, paths.state / "pulumi") == {}
    assert broken.read_text() == plugins.launcher(next(one for one in plugins.PLUGINS if one.name == name))


def test_a_repair_lets_pulumi_fetch_plugins_where_none_is_bundled_any_more(
    settings: Settings, paths: LabPaths, progress: Progress, system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugins.CHOICE_ENV, "official")
    prepare.restart_daemons(settings.name, progress)
    manifest = PlatformManifest.load(paths)
    assert manifest is not None
    assert not manifest.bundled_plugins


# -- what must hold before -------------------------------------------------------------------------


def test_everything_that_is_missing_is_reported_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(debian, "missing", lambda packages: [one for one in packages if one.name in ("parted", "gcc")])
    with pytest.raises(OverlabError) as caught:
        preflight.require(settings, "bundled")
    text = str(caught.value)
    assert "not root" in text
    assert "sudo" in text
    assert "apt-get install --no-install-recommends -y gcc parted" in text


def test_a_system_platform_with_an_image_needs_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert preflight.rights(("up",)).status == "ok"
    assert preflight.rights(("up", "bundled", "vm")).status == "missing"


def test_no_space_names_the_variable(tmp_path: Path) -> None:
    found = preflight.space(tmp_path / "not" / "yet", 1 << 40, "XDG_STATE_HOME")
    assert found.status == "missing"
    assert "XDG_STATE_HOME" in str(found.remedy)


def test_the_package_list_has_a_reason_for_each_and_names_none_twice() -> None:
    uses = ("up", "docker", "bundled", "vm", "container", "test", "check")
    packages = debian.needed(uses)
    assert len({one.name for one in packages}) == len(packages)
    assert all(one.reason and set(one.use.split(",")) <= set(uses) for one in packages)


def test_missing_packages_are_found() -> None:
    strange = debian.DebianPackage("no-such-package-at-all", "up", "none")
    assert debian.missing([strange, *debian.needed(("up",))])[0] == strange


def test_reports_distinguish_missing_and_warning(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_available_mib", lambda: 1)
    assert preflight.memory(settings) == PartReport(
        "memory",
        "warning",
        "1 MiB available, the machines take 2048 MiB",
        "fewer nodes, or a smaller machine.memory_mib",
    )
