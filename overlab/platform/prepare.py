"""Prepare a lab's platform, find it ready, remove it: the only module that knows the order of the steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from components.config.conventions import REGISTRY_PORT
from components.config.platform import Hypervisor, MachineImage, NodeEngine, Packages, Platform
from components.node import ssh_keys
from overlab.core import removal
from overlab.core.errors import OverlabError, ToolError, component
from overlab.core.files import bound_log, write_private
from overlab.core.paths import LabPaths, run_root
from overlab.core.progress import Progress
from overlab.core.tools import run, stop_running
from overlab.core.wait import NotYet, locked
from overlab.platform import (
    certificates,
    container_host,
    container_images,
    debs,
    given_image,
    hypervisors,
    identity,
    node_image,
    plugins,
    preflight,
    pulumi_search,
    shim,
    system_docker,
    toolchain,
    vm_image,
)
from overlab.platform.footprint import footprint
from overlab.platform.manifest import PlatformManifest, checkout, fingerprints, inputs_digest
from overlab.platform.namespace import Namespace
from overlab.platform.private_dockerd import PrivateDockerd
from overlab.platform.private_libvirtd import PrivateLibvirtd
from overlab.platform.pulumi_search import PulumiCli
from overlab.platform.registry import Registry

if TYPE_CHECKING:
    from components.config.settings import Settings

T = TypeVar("T")
_KEYS_LIMIT_S = 10


def ready(settings: Settings) -> Platform | None:
    """The recorded platform, if it is current for these settings and everything that must run is alive.

    Takes well under a second, changes nothing.
    """
    paths = LabPaths(settings.name)
    manifest = PlatformManifest.load(paths)
    if manifest is None or manifest.checkout != checkout() or not _is_current(manifest, settings, paths):
        return None
    platform = read_record(paths)
    return platform if platform is not None and _alive(paths, platform, manifest) else None


@component("platform")
def prepare(settings: Settings, progress: Progress) -> Platform:
    """Bring the platform up, or what is missing of it. May be repeated after an interruption at any point.

    Raises :class:`OverlabError` with the remedy. Nothing outside the per-user cache, the lab's state directory, its run
    directory and its network namespace is touched.
    """
    for log in LabPaths(settings.name).logs.glob("*.log"):
        bound_log(log)
    platform = ready(settings)
    if platform is not None:
        return platform
    kind = hypervisors.kind_of(settings)
    preflight.require(settings, kind)
    paths = LabPaths(settings.name)
    with progress.step("platform"), _only_one(paths, progress):
        _refuse_other_checkout(paths)
        paths.state.mkdir(parents=True, exist_ok=True)
        paths.state.chmod(0o700)
        return _record(settings, kind, paths, _make_parts(settings, kind, paths, progress))


def rotate(settings: Settings, progress: Progress, *, authority: bool) -> list[str]:
    """New secrets of every kind that the lab has, which the next ``up`` installs; with ``authority`` new CAs too.

    Returns what was renewed, in words.
    """
    paths = LabPaths(settings.name)
    platform = read_record(paths)
    if platform is None:
        raise OverlabError(f"the platform of lab {settings.name} is not prepared", "overlab up")
    renewed, nodes = [], _addresses(settings)
    also = ", with a new CA" if authority else ""
    with _only_one(paths, progress):
        _refuse_other_checkout(paths)
        if settings.engine.api == "tls":
            tls = identity.tls_directory(paths.identity)
            certificates.rotate(tls, settings.name, nodes, authority=authority)
            renewed.append(f"the client and {len(nodes)} servers of the engines' API{also}")
        if settings.store.servers > 1:
            identity.rotate_store(paths.identity, settings.name, nodes, settings.store_nodes, authority=authority)
            renewed.append(f"the store's gossip key, tokens, and {len(nodes)} certificates{also}")
        identity.ensure(paths.identity, settings.name, nodes, settings.store_nodes)
        identity.rotate_ssh(paths.identity, nodes)
        keys = identity.ensure(paths.identity, settings.name, nodes, settings.store_nodes)
        platform = platform.model_copy(update={"identity": keys})
        write_private(paths.record, platform.model_dump_json(indent=1).encode())
        left = _install_ssh_keys(settings, platform, progress)
        later = f" (not on {', '.join(left)}, which did not answer: the next `up` installs them)" if left else ""
        renewed.append(f"the SSH keys of the client and of {len(nodes)} nodes{later}")
    return renewed


def _install_ssh_keys(settings: Settings, platform: Platform, progress: Progress) -> list[str]:
    """Install them on the nodes, so that other commands reach these before the next update; those where it failed."""
    paths, keys = LabPaths(settings.name), platform.identity
    if keys.retired_ssh is None:
        return []

    def install(node: str) -> bool:
        address, client = settings.nodes[node].address, (keys.client_key, keys.client_public_key)
        assert keys.retired_ssh is not None
        script = ssh_keys.installer(address, client, keys.host_keys[node], keys.retired_ssh, limit_s=_KEYS_LIMIT_S)
        command = ["sh", "-c", script]
        if platform.kind == "bundled":
            command = Namespace.of(paths).command(command)
        try:
            run(command, log=paths.logs / "rotate.log", limit_s=2 * _KEYS_LIMIT_S)
        except ToolError:
            return False
        return True

    with progress.step("SSH keys"), ThreadPoolExecutor(max_workers=8) as pool:
        installed = dict(zip(settings.nodes, pool.map(install, settings.nodes), strict=True))
    return [node for node, done in installed.items() if not done]


@component("platform")
def restart_daemons(lab: str, progress: Progress) -> Platform | None:
    """The recorded platform of a lab with its daemons running and its CLI and plugins in place; None if it has none.

    Independent of the settings, for commands that must work on a lab whose settings have changed or are invalid. Raises
    :class:`OverlabError` where the lab is up from another checkout.
    """
    paths = LabPaths(lab)
    platform, manifest = read_record(paths), PlatformManifest.load(paths)
    if platform is None or manifest is None:
        return None
    _refuse_other_checkout(paths)
    with _only_one(paths, progress):
        if platform.kind == "bundled" and not _alive(paths, platform, manifest):
            _node_daemon(paths, platform).ensure(progress)
            if manifest.images is not None:
                Registry(paths, manifest.images).ensure()
        _restore_tools(paths, platform, manifest, progress)
    return platform


def refuse_orphaning(lab: str) -> None:
    """Raise :class:`OverlabError` where the lab's machines, on a system hypervisor, would outlive its platform."""
    platform = read_record(LabPaths(lab))
    if platform is not None and platform.kind == "system":
        hosts = [place.uri for place in platform.hypervisors_by_name.values()]
        hosts += [platform.node_engine.docker_host] if platform.node_engine is not None else []
        raise OverlabError(
            f"the machines of lab {lab} are on {', '.join(hosts)}: without a destroy they would be orphaned there",
            "overlab down --platform",
        )


@component("platform")
def teardown(lab: str, progress: Progress) -> None:
    """Remove the lab's platform: processes, namespace, mounts, sockets, directories. Repeatable.

    Raises :class:`OverlabError` that names what is left.
    """
    remove(LabPaths(lab), progress)


def remove(paths: LabPaths, progress: Progress) -> None:
    """:func:`teardown` of a lab whose state may be in another directory than this command's labs."""
    platform = read_record(paths)
    with _only_one(paths, progress):
        if Namespace.of(paths).other_owner() is None:
            if platform is None or platform.kind == "bundled":
                _stop(paths)
            elif platform.node_engine is not None:
                # the machine's own Docker leaves them, empty
                with contextlib.suppress(NotYet):
                    PrivateDockerd(paths).remove_cgroups()
            paths.remove(paths.run)
        paths.remove(paths.state)
    removal.remove(lock_file(paths), run_root())
    for empty in (paths.state.parent, run_root()):
        with contextlib.suppress(OSError):
            empty.rmdir()
    if left := footprint(paths):
        raise OverlabError(
            f"left of lab {paths.lab}: {', '.join(map(str, left))}",
            f"{'; '.join(one.remedy for one in left)}; then the same command again",
        )


def read_record(paths: LabPaths) -> Platform | None:
    """The platform record; None when there is none or it has another format."""
    try:
        return Platform.model_validate_json(paths.record.read_bytes())
    except (OSError, ValueError):
        return None


# -- steps -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parts:
    cli: PulumiCli
    plugins: list[plugins.PluginSource]
    hypervisors: dict[str, hypervisors.HypervisorInfo]
    image: MachineImage | None
    node_engine: NodeEngine | None
    packages: Packages | None
    images: Path | None
    """Storage of the lab's own registry."""
    mirror: str | None


def _make_parts(settings: Settings, kind: hypervisors.PlatformKind, paths: LabPaths, progress: Progress) -> _Parts:
    """The independent steps in parallel, longest first; the image follows from the hypervisor, which takes seconds."""
    own_registry = kind == "bundled" and settings.platform.registry_mirror is None
    containers = settings.machine_kind == "container"
    with _Parallel(progress) as parallel:
        hypervisor = parallel.start("hypervisor", lambda: _hypervisors(settings, paths, progress))
        image = None if containers else parallel.start("base image", lambda: _image(settings, hypervisor, progress))
        node = parallel.start("node image", lambda: _node_engine(settings, paths, progress)) if containers else None
        cli = parallel.start("Pulumi CLI", lambda: toolchain.ensure(progress))
        images = parallel.start("container images", lambda: container_images.ensure(progress)) if own_registry else None
        packages = parallel.start("engine packages", lambda: _packages(settings, progress))
        parallel.finish()
    if images is not None:
        with progress.step("registry"):
            Registry(paths, images.result()).ensure()
    return _Parts(
        cli=cli.result(),
        plugins=plugins.install(paths, cli.result().path),
        hypervisors=hypervisor.result(),
        image=image.result() if image is not None else None,
        node_engine=node.result() if node is not None else None,
        packages=packages.result(),
        images=images.result() if images is not None else None,
        mirror=f"http://{settings.gateway}:{REGISTRY_PORT}" if own_registry else settings.platform.registry_mirror,
    )


def _sources(settings: Settings, parts: _Parts) -> dict[str, str]:
    """Where each part of the platform came from, for display."""
    sources = {"pulumi": f"{parts.cli.version}, {parts.cli.source}"}
    sources |= {f"plugin {one.plugin.name}": f"{one.plugin.version}, {one.source}" for one in parts.plugins}
    for name, one in parts.hypervisors.items():
        sources[f"hypervisor {name}".strip()] = one.source
        sources[f"acceleration {name}".strip()] = f"{one.acceleration.domain_type}: {one.acceleration.reason}"
    source = parts.image.source if parts.image else "containers"
    if parts.node_engine is not None:
        sources["nodes"] = f"containers on {parts.node_engine.docker_host}"
    built = f"built from Debian packages ({source})"
    sources["image"] = "named by the settings" if settings.platform.image else built
    own = "own registry, built from Debian packages"
    sources["container images"] = own if parts.images else parts.mirror or "Docker Hub"
    return sources


def _image(
    settings: Settings, hypervisor: Future[dict[str, hypervisors.HypervisorInfo]], progress: Progress
) -> MachineImage:
    """One for all machines: with the kernel's own defaults as soon as one of them has KVM."""
    if settings.platform.image is not None:
        return given_image.ensure(settings.platform.image, settings.platform.image_sha256, progress)
    emulated = all(one.acceleration.domain_type == "qemu" for one in hypervisor.result().values())
    ensure = vm_image.ensure if settings.engine.install == "preinstalled" else vm_image.ensure_plain
    return ensure(progress, emulated=emulated)


def _hypervisors(settings: Settings, paths: LabPaths, progress: Progress) -> dict[str, hypervisors.HypervisorInfo]:
    return hypervisors.ensure(settings, paths, progress) if settings.machine_kind == "vm" else {}


def _node_engine(settings: Settings, paths: LabPaths, progress: Progress) -> NodeEngine:
    """The stated engine, or the private one, running, with the nodes' image."""
    if settings.platform.docker_host is not None:
        return system_docker.ensure(settings.platform.docker_host, progress)
    engine, host = PrivateDockerd(paths), container_host.detect()
    engine.ensure(progress)
    with engine.client() as client:
        image = node_image.imported(client, progress)
    return NodeEngine(
        docker_host=engine.host,
        image=image,
        privileged=host.privileged,
        capabilities=host.capabilities,
        cgroup_namespace=host.cgroup_namespace,
    )


def _node_daemon(paths: LabPaths, platform: Platform) -> PrivateLibvirtd | PrivateDockerd:
    """What runs the nodes of a lab on the bundled platform."""
    return PrivateLibvirtd(paths) if platform.node_engine is None else PrivateDockerd(paths)


def _packages(settings: Settings, progress: Progress) -> Packages | None:
    return debs.ensure(progress) if settings.engine.install == "packages" else None


def _record(settings: Settings, kind: hypervisors.PlatformKind, paths: LabPaths, parts: _Parts) -> Platform:
    """Write the lab's own files, the platform record, and last of all the manifest."""
    for directory in (paths.backend, paths.run):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity.ensure_passphrase(paths.passphrase)
    shim.write(paths, parts.cli.path, checkout(), namespace=paths.namespace if kind == "bundled" else None)
    by_name = {
        name: Hypervisor(uri=one.uri, pool_path=one.pool_path, domain_type=one.acceleration.domain_type)
        for name, one in parts.hypervisors.items()
    }
    platform = Platform(
        kind=kind,
        hypervisor=by_name.pop("", None),
        hypervisors=by_name,
        image=parts.image,
        node_engine=parts.node_engine,
        packages=parts.packages,
        registry_mirror=parts.mirror,
        image_digests=Registry(paths, parts.images).digests() if parts.images is not None else {},
        identity=identity.ensure(paths.identity, settings.name, _addresses(settings), settings.store_nodes),
        run_dir=paths.run,
    )
    text = platform.model_dump_json(indent=1).encode()
    if not paths.record.exists() or paths.record.read_bytes() != text:
        write_private(paths.record, text)
    local = [parts.cli.path, *([Path(parts.image.source)] if parts.image else [])]
    if parts.packages is not None:
        local.append(Path(parts.packages.bundle))
    PlatformManifest(
        checkout=checkout(),
        inputs=inputs_digest(settings, _tools(parts.cli.path)),
        files=fingerprints(local),
        cli=parts.cli.path,
        cli_version=parts.cli.version,
        sources=_sources(settings, parts),
        bundled_plugins=plugins.acquisition_disabled(parts.plugins),
        images=parts.images,
    ).save(paths)
    return platform


def _tools(cli: Path) -> dict[str, str]:
    """Which CLI is named or on PATH, and the source of each plugin, by the environment as it is now."""
    return {
        "pulumi": pulumi_search.candidate(),
        **{one.plugin.name: one.source for one in plugins.resolve(cli)},
    }


def _is_current(manifest: PlatformManifest, settings: Settings, paths: LabPaths) -> bool:
    """Whether it was prepared from these settings and tools, by this code, and nothing of it was changed since."""
    return (
        manifest.inputs == inputs_digest(settings, _tools(manifest.cli))
        and manifest.files == fingerprints(manifest.files)
        and not plugins.problems(paths, manifest.cli)
        and identity.rotations_complete(paths.identity)
    )


def _addresses(settings: Settings) -> dict[str, str]:
    return {key: str(node.address) for key, node in settings.nodes.items()}


def _restore_tools(paths: LabPaths, platform: Platform, manifest: PlatformManifest, progress: Progress) -> None:
    """CLI and plugins again, where the checkout moved, the cache was emptied, or a plugin vanished or was exchanged."""
    exists = manifest.cli.exists()
    if exists and manifest.checkout == checkout() and not plugins.problems(paths, manifest.cli):
        return
    cli = manifest.cli if exists else toolchain.ensure(progress).path
    shim.write(paths, cli, checkout(), namespace=paths.namespace if platform.kind == "bundled" else None)
    disabled = plugins.acquisition_disabled(plugins.install(paths, cli))
    manifest.model_copy(update={"cli": cli, "bundled_plugins": disabled}).save(paths)


def _stop(paths: LabPaths) -> None:
    manifest = PlatformManifest.load(paths)
    if manifest is not None and manifest.images is not None:
        Registry(paths, manifest.images).stop()
    PrivateDockerd(paths).remove()
    PrivateLibvirtd(paths).stop()


def _alive(paths: LabPaths, platform: Platform, manifest: PlatformManifest) -> bool:
    if platform.run_dir != paths.run or not paths.run.is_dir():  # a reboot empties it
        return False
    if platform.kind == "system":
        return platform.node_engine is None or system_docker.has_image(platform.node_engine)
    registry = manifest.images is None or Registry(paths, manifest.images).alive()
    return registry and _node_daemon(paths, platform).alive()


# -- one lab, one owner ----------------------------------------------------------------------------


def _refuse_other_checkout(paths: LabPaths) -> None:
    """Refuse a lab whose platform another checkout has running; one that is down is taken over."""
    manifest = PlatformManifest.load(paths)
    if manifest is not None and manifest.checkout != checkout() and manifest.checkout.exists():
        platform = read_record(paths)
        if platform is not None and _node_daemon(paths, platform).alive():
            raise OverlabError(
                f"the lab {paths.lab} is up from another checkout, {manifest.checkout}",
                f"give this lab another name (overlab:lab name), or take that one down:"
                f" cd {manifest.checkout} && make down PLATFORM=1",
            )


def _only_one(paths: LabPaths, progress: Progress) -> contextlib.AbstractContextManager[None]:
    """One command at a time prepares or removes a lab's platform; another waits and shows it."""
    run_root().mkdir(parents=True, exist_ok=True, mode=0o700)
    other = f"another command that prepares or removes the platform of lab {paths.lab}"
    return locked(lock_file(paths), lambda: other, progress)


def lock_file(paths: LabPaths) -> Path:
    """Held while a command prepares or removes the lab's platform."""
    return run_root() / f".{paths.lab}.lock"


class _Parallel(contextlib.AbstractContextManager["_Parallel"]):
    """Steps in threads. The first failure, or an interrupt, stops the tools of all others."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="overlab-platform")
        self._futures: list[Future[object]] = []

    def start(self, name: str, work: Callable[[], T]) -> Future[T]:
        def timed() -> T:
            with self._progress.step(name):
                return work()

        future = self._pool.submit(timed)
        self._futures.append(future)  # type: ignore[arg-type]  # Future is invariant; only its end matters here
        return future

    def finish(self) -> None:
        """Wait for all. Raises the first failure."""
        done, _ = wait(self._futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()

    def __exit__(self, failure: object, *_: object) -> None:
        if failure is not None:
            stop_running()
        self._pool.shutdown(cancel_futures=failure is not None)
