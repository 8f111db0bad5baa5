"""Rules on what the platform has, where the settings alone say which one it is: images, engines, room for settings."""

from __future__ import annotations

import json
from collections.abc import Iterator

from components.config import conventions, images
from components.config.draft import Draft

LONGEST_CONFIGURATION = 128 * 1024 - 1024
"""Bytes: Pulumi gives a program its configuration in one environment variable, and Linux limits that to 128 KiB."""


def _is_bundled(lab: Draft) -> bool:
    """Whether the platform is the bundled one, whose nodes reach nothing but each other and its registry."""
    if lab.platform is None or lab.names("platform", "hypervisors"):
        return False
    return lab.platform.is_bundled


def _stated_images(lab: Draft) -> Iterator[tuple[tuple[str, ...], str]]:
    if lab.store:
        yield ("store", "image"), lab.store.image_name
    for key, workload in lab.workloads.items():
        yield ("workloads", key, "image"), workload.image


def _images(lab: Draft) -> None:
    if not _is_bundled(lab) or lab.platform is None or lab.platform.registry_mirror or lab.platform.image:
        return
    has = {images.parse(name) for name in conventions.BUNDLED_IMAGES}
    repositories = {(image.registry, image.repository) for image in has}
    for path, reference in _stated_images(lab):
        image = images.parse(reference)
        # Which digest the registry has depends on its build.
        if image in has or (image.digest and (image.registry, image.repository) in repositories):
            continue
        rule = f"an image of the bundled platform's registry: {', '.join(conventions.BUNDLED_IMAGES)}"
        lab.add_problem(path, rule, "write one of these, or state platform.registry_mirror", reference)


def _store_image(lab: Draft) -> None:
    store, platform = lab.store, lab.platform
    if store is None or platform is None or _is_bundled(lab) or store.image or platform.registry_mirror:
        return
    if store.backend.public_image:
        rule = f"stated on a system platform: {store.image_name} is an image of the bundled one"
        lab.add_problem(("store", "image"), rule, f"write {store.backend.public_image}", None)


def _engine(lab: Draft) -> None:
    engine, platform = lab.engine, lab.platform
    if engine is None or platform is None:
        return
    if engine.install == "apt":
        if _is_bundled(lab) and platform.image is None and not (lab.machine and lab.machine.kind == "container"):
            rule = "not on the bundled platform, whose nodes reach no repository"
            lab.add_problem(("engine", "install"), rule, "write packages, or preinstalled")
        return
    if engine.install == "preinstalled" and platform.image is not None:
        return
    has = conventions.BUNDLED_ENGINE
    if has != engine.version and not has.startswith(f"{engine.version}."):
        rule = f"the version that {engine.install} engines have here: {has}"
        lab.add_problem(("engine", "version"), rule, f"write {has} or {conventions.ENGINE_VERSION}")


def _size(lab: Draft) -> None:
    """Of an otherwise valid lab: only that is sure to be JSON."""
    if lab.problems:
        return
    text = json.dumps({"overlab:lab": _json(lab.raw)}, ensure_ascii=False)
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LONGEST_CONFIGURATION:
        rule = f"at most {LONGEST_CONFIGURATION} bytes as JSON: Pulumi passes them in one environment variable"
        remedy = "split the lab into stacks, or shorten names, commands and environment"
        lab.add_problem((), rule, remedy, f"{size} bytes")


def _json(value: object) -> str:
    """As Pulumi's CLI writes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


RULES = (_images, _store_image, _engine, _size)
