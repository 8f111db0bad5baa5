"""Prepare a lab's platform, find it ready, take it down: the only module that knows the order of the steps."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout

from components.config.conventions import REGISTRY_PORT
from components.config.platform import Hypervisor, Image, Packages, Platform, Tls
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths, run_root
from overlab.core.process import write_private
from overlab.core.progress import Progress, stop_running
from overlab.platform import (
    container_images,
    debs,
    hypervisors,
    identity,
    plugins,
    preflight,
    shim,
    toolchain,
    vm_image,
)
from overlab.platform.manifest import PlatformManifest, checkout, fingerprints, inputs_digest
from overlab.platform.private_libvirtd import PrivateLibvirtd
from overlab.platform.registry import Registry

if TYPE_CHECKING:
    from components.config.settings import Settings

T = TypeVar("T")


def ready(settings: Settings) -> Platform | None:
    """The platform as it stands, if it was prepared from these settings and everything that must run is alive.

    Takes well under a second, changes nothing.
    """
    paths = LabPaths(settings.name)
    prepared = PlatformManifest.load(paths)
    if prepared is None or prepared.checkout != checkout() or not prepared.fits(settings):
        return None
    if not identity.rotation_complete(paths.identity):
        return None
    platform = read_record(paths)
    return platform if platform is not None and _alive(paths, platform, prepared) else None


def prepare(settings: Settings, progress: Progress) -> Platform:
    """Bring the platform up, or what is missing of it. May be repeated after an interruption at any point.

    Raises :class:`OverlabError` with the remedy. Nothing outside the per-user cache, the lab's state directory, its run
    directory and its network namespace is touched.
    """
    platform = ready(settings)
    if platform is not None:
        return platform
    kind = hypervisors.kind_of(settings)
    preflight.require(settings, kind)
    paths = LabPaths(settings.name)
    with _only_one(paths, progress):
        _refuse_other_checkout(paths)
        paths.state.mkdir(parents=True, exist_ok=True)
        paths.state.chmod(0o700)
        parts = _make_parts(settings, kind, paths, progress)
        return _record(settings, kind, paths, parts)


def rotate(settings: Settings, progress: Progress, *, authority: bool) -> Tls:
    """New certificates for the engines' API, which the next ``up`` carries to them; with ``authority`` of a new one.

    Raises :class:`OverlabError` where the lab has none.
    """
    paths = LabPaths(settings.name)
    if settings.engine.api != "tls":
        raise OverlabError(f"the engines of lab {settings.name} have no TLS port", "set engine.api to tls")
    if read_record(paths) is None:
        raise OverlabError(f"the platform of lab {settings.name} is not prepared", "overlab up")
    with _only_one(paths, progress):
        _refuse_other_checkout(paths)
        return identity.rotate(paths.identity, settings.name, _addresses(settings), authority=authority)


def restart_daemons(lab: str, progress: Progress) -> Platform | None:
    """The recorded platform of a lab, its daemons running again, whatever its settings are now; None if it has none.

    For commands that must work on a lab whose settings changed or broke: destroy, look around. Raises
    :class:`OverlabError` where the lab lives for another checkout.
    """
    paths = LabPaths(lab)
    platform, prepared = read_record(paths), PlatformManifest.load(paths)
    if platform is None or prepared is None:
        return None
    _refuse_other_checkout(paths)
    with _only_one(paths, progress):
        if not _alive(paths, platform, prepared):
            PrivateLibvirtd(paths).ensure(progress)
            if prepared.images is not None:
                Registry(paths, prepared.images).ensure()
        _restore_tools(paths, platform, prepared, progress)
    return platform


def refuse_orphaning(lab: str) -> None:
    """Raise :class:`OverlabError` where the lab's machines, on a system hypervisor, would outlive its platform."""
    platform = read_record(LabPaths(lab))
    if platform is not None and platform.kind == "system":
        uris = ", ".join(place.uri for place in platform.places.values())
        raise OverlabError(
            f"the machines of lab {lab} are on {uris}: without a destroy they would stay there, unknown",
            "overlab down --platform",
        )


def teardown(lab: str, progress: Progress) -> None:
    """Remove the lab's platform: no process, namespace, mount, socket or directory of it is left. Repeatable."""
    paths = LabPaths(lab)
    with _only_one(paths, progress):
        if PrivateLibvirtd(paths).namespace.other_owner() is None:
            _stop(paths)
            shutil.rmtree(paths.run, ignore_errors=True)
        if paths.state.exists():
            shutil.rmtree(paths.state)
    _lock_file(paths).unlink(missing_ok=True)
    for empty in (paths.state.parent, run_root()):
        with contextlib.suppress(OSError):
            empty.rmdir()


def read_record(paths: LabPaths) -> Platform | None:
    """The platform record; None when there is none or it is from another version."""
    try:
        return Platform.model_validate_json(paths.record.read_bytes())
    except (OSError, ValueError):
        return None


# -- steps -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parts:
    cli: toolchain.PulumiCli
    plugins: list[plugins.Found]
    hypervisors: dict[str, hypervisors.Found]
    image: Image
    packages: Packages | None
    images: Path | None
    mirror: str | None
    rungs: dict[str, str]


def _make_parts(settings: Settings, kind: hypervisors.Kind, paths: LabPaths, progress: Progress) -> _Parts:
    """The independent steps in parallel, in the order of their length: image, CLI, container images, hypervisor."""
    own_registry = kind == "bundled" and settings.platform.registry_mirror is None
    with _Parallel(progress) as parallel:
        base = parallel.start("base image", lambda: _image(settings, progress))
        cli = parallel.start("Pulumi CLI", lambda: toolchain.ensure(progress, settings.platform.pulumi))
        contents = (
            parallel.start("container images", lambda: container_images.ensure(progress)) if own_registry else None
        )
        hypervisor = parallel.start("hypervisor", lambda: hypervisors.ensure(settings, paths, progress))
        packages = parallel.start("engine packages", lambda: _packages(settings, progress))
        parallel.finish()
    if contents is not None:
        with progress.step("registry"):
            Registry(paths, contents.result()).ensure()
    mirror = settings.platform.registry_mirror or (_own_mirror(settings) if own_registry else None)
    found_plugins = plugins.install(paths, cli.result())
    rungs = {
        "pulumi": f"{cli.result().version}, {cli.result().rung}",
        **{f"plugin {one.plugin.name}": f"{one.plugin.version}, {one.rung}" for one in found_plugins},
        **{f"hypervisor {name}".strip(): one.rung for name, one in hypervisor.result().items()},
        **{
            f"acceleration {name}".strip(): f"{one.acceleration.domain_type}: {one.acceleration.reason}"
            for name, one in hypervisor.result().items()
        },
        "image": "given by the settings"
        if settings.platform.image
        else f"made from Debian packages ({base.result().source})",
        "container images": "own registry, made from Debian packages" if own_registry else mirror or "the hub",
    }
    return _Parts(
        cli=cli.result(),
        plugins=found_plugins,
        hypervisors=hypervisor.result(),
        image=base.result(),
        packages=packages.result(),
        images=contents.result() if contents is not None else None,
        mirror=mirror,
        rungs=rungs,
    )


def _image(settings: Settings, progress: Progress) -> Image:
    if settings.platform.image is not None:
        return hypervisors.given_image(settings.platform.image)
    return vm_image.ensure(progress) if settings.engine.install == "preinstalled" else vm_image.ensure_plain(progress)


def _packages(settings: Settings, progress: Progress) -> Packages | None:
    return debs.ensure(progress) if settings.engine.install == "packages" else None


def _own_mirror(settings: Settings) -> str:
    return f"http://{settings.gateway}:{REGISTRY_PORT}"


def _record(settings: Settings, kind: hypervisors.Kind, paths: LabPaths, parts: _Parts) -> Platform:
    """Write the lab's own files, the platform record, and last of all that everything was prepared."""
    for directory in (paths.backend, paths.run):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity.ensure_passphrase(paths.passphrase)
    shim.write(paths, parts.cli.path, namespace=paths.namespace if kind == "bundled" else None)
    plain = parts.image if settings.engine.install != "preinstalled" or settings.platform.image else None
    places = {
        name: Hypervisor(uri=one.uri, pool_path=one.pool_path, domain_type=one.acceleration.domain_type)
        for name, one in parts.hypervisors.items()
    }
    platform = Platform(
        lab=settings.name,
        kind=kind,
        hypervisor=places.pop("", None),
        hypervisors=places,
        image=parts.image,
        plain_image=plain,
        packages=parts.packages,
        registry_mirror=parts.mirror,
        identity=identity.ensure(paths.identity, settings.name, _addresses(settings)),
        run_dir=paths.run,
    )
    text = platform.model_dump_json(indent=1).encode()
    if not paths.record.exists() or paths.record.read_bytes() != text:
        write_private(paths.record, text)
    local = [parts.cli.path, Path(parts.image.source)]
    if parts.packages is not None:
        local.append(Path(parts.packages.bundle))
    PlatformManifest(
        checkout=checkout(),
        inputs=inputs_digest(settings),
        files=fingerprints(local),
        cli=parts.cli.path,
        cli_version=parts.cli.version,
        rungs=parts.rungs,
        bundled_plugins=plugins.acquisition_disabled(parts.plugins),
        images=parts.images,
    ).save(paths)
    return platform


def _addresses(settings: Settings) -> dict[str, str]:
    return {key: str(node.address) for key, node in settings.nodes.items()}


def _restore_tools(paths: LabPaths, platform: Platform, prepared: PlatformManifest, progress: Progress) -> None:
    """CLI and plugins again, where the checkout has moved or the cache was emptied since."""
    if prepared.checkout == checkout() and prepared.cli.exists():
        return
    cli = toolchain.ensure(progress)
    shim.write(paths, cli.path, namespace=paths.namespace if platform.kind == "bundled" else None)
    plugins.install(paths, cli)


def _stop(paths: LabPaths) -> None:
    prepared = PlatformManifest.load(paths)
    if prepared is not None and prepared.images is not None:
        Registry(paths, prepared.images).stop()
    PrivateLibvirtd(paths).stop()


def _alive(paths: LabPaths, platform: Platform, prepared: PlatformManifest) -> bool:
    if platform.kind == "system":
        return True
    registry = prepared.images is None or Registry(paths, prepared.images).alive()
    return registry and PrivateLibvirtd(paths).alive()


# -- one lab, one owner ----------------------------------------------------------------------------


def _refuse_other_checkout(paths: LabPaths) -> None:
    """Refuse a lab that another checkout holds with a living platform; one that is dead is taken over."""
    prepared = PlatformManifest.load(paths)
    if prepared is not None and prepared.checkout != checkout() and prepared.checkout.exists():
        platform = read_record(paths)
        if platform is not None and PrivateLibvirtd(paths).alive():
            raise OverlabError(
                f"the lab {paths.lab} is up from another checkout, {prepared.checkout}",
                f"give this lab another name (overlab:lab name), or take that one down:"
                f" cd {prepared.checkout} && make down PLATFORM=1",
            )


@contextlib.contextmanager
def _only_one(paths: LabPaths, progress: Progress) -> Iterator[None]:
    """One command at a time prepares or removes a lab's platform; another waits and says so."""
    run_root().mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(_lock_file(paths))
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            progress.waiting_for(f"another command that prepares or removes the platform of lab {paths.lab}")
    try:
        yield
    finally:
        lock.release()


def _lock_file(paths: LabPaths) -> Path:
    return run_root() / f".{paths.lab}.lock"


class _Parallel(contextlib.AbstractContextManager["_Parallel"]):
    """Steps in threads. The first failure, or an interrupt, ends the tools of all others."""

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
