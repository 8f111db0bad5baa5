"""Where the state and the lab's objects outside of its nodes disagree: after a kill, or a removal by other means.

Pulumi's providers adopt no leftover domain or container, and some fail on deleting what is gone.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from components.config.platform import Platform
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.stack import docker_objects, libvirt_objects
from overlab.stack.lab_object import LabObject
from overlab.stack.state import (
    CONTAINER,
    DOCKER_NETWORK,
    DOCKER_VOLUME,
    DOMAIN,
    LIBVIRT_NETWORK,
    LIBVIRT_VOLUME,
    POOL,
    SEED,
    Resource,
    State,
)

_TYPES = {
    DOMAIN,
    LIBVIRT_NETWORK,
    POOL,
    LIBVIRT_VOLUME,
    SEED,
    CONTAINER,
    DOCKER_NETWORK,
    DOCKER_VOLUME,
}


@dataclass(frozen=True)
class Survey:
    """The lab's objects on every hypervisor, or on the engine that runs its nodes, beside the state."""

    state: State
    hosts: tuple[str, ...]
    outer: str | None
    """The one of ``hosts`` that runs nodes as containers."""
    objects: tuple[LabObject, ...]

    @property
    def leftovers(self) -> list[LabObject]:
        """Provably of this lab, and neither in the state nor needed by anything in it."""
        return [one for one in self.objects if one.standing == "unknown"]

    @property
    def foreign(self) -> list[LabObject]:
        """With a name of this lab, and maybe another lab's."""
        return [one for one in self.objects if one.standing == "foreign"]

    @property
    def gone(self) -> list[Resource]:
        """In the state, and not on its host: what :func:`remove_leftovers` removes included."""
        kept = {(one.host, one.key) for one in self.objects if one.standing in ("known", "stopped")}
        known = [one for one in self.state.resources if one.type in _TYPES and one.host in self.hosts and one.key]
        return [one for one in known if (one.host, one.key) not in kept]

    @property
    def stopped(self) -> list[Resource]:
        """Machines in the state that do not run."""
        keys = {(one.host, one.key) for one in self.objects if one.standing == "stopped"}
        return [one for one in self.state.resources if (one.host, one.key) in keys]


def survey(lab: str, platform: Platform, state: State, nodes: Collection[str] = ()) -> Survey:
    """Look at every host at once. ``nodes`` are those whose machines' names must be free of other labs.

    Raises :class:`OverlabError` that names every host that does not answer.
    """
    outer = platform.node_engine.docker_host if platform.node_engine is not None else None
    uris = [one.uri for one in platform.hypervisors_by_name.values()]
    hosts = list(dict.fromkeys([*([outer] if outer else []), *uris, *state.hypervisors]))

    def look(host: str) -> list[LabObject] | OverlabError:
        try:
            if host == outer:
                return docker_objects.find(host, lab, state)
            return libvirt_objects.find(host, lab, state, nodes)
        except OverlabError as error:
            return error

    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(look, hosts))
    errors = [one for one in answers if isinstance(one, OverlabError)]
    if errors:
        raise OverlabError("; ".join(one.what for one in errors), errors[0].remedy)
    found = [one for answer in answers if not isinstance(answer, OverlabError) for one in answer]
    return Survey(state, tuple(hosts), outer, tuple(found))


def remove_leftovers(found: Survey, progress: Progress) -> None:
    """Remove what is provably of this lab and not in the state, with a line for each.

    Raises :class:`OverlabError` that names what cannot be removed.
    """
    for host in found.hosts:
        ours = [one for one in found.leftovers if one.host == host]
        if not ours:
            continue
        (docker_objects if host == found.outer else libvirt_objects).remove(host, ours)
        known = {one.key for one in found.state.resources if one.host == host}
        for one in ours:
            why = "its container is gone" if one.key in known else "the state does not have it"
            progress.note(f"removed {one}: {why}")


def remove_known(found: Survey, resource: Resource) -> None:
    """Remove the object of a resource of the state. Raises :class:`OverlabError` that names what cannot be removed."""
    ours = [one for one in found.objects if (one.host, one.key) == (resource.host, resource.key)]
    (docker_objects if resource.host == found.outer else libvirt_objects).remove(resource.host, ours)


def reset(found: Survey, name: str) -> None:
    """Reset the running machine of this name. Raises :class:`OverlabError` where the lab has none."""
    for one in found.objects:
        if one.kind in ("domain", "container") and one.name == name and one.standing == "known":
            (docker_objects if one.host == found.outer else libvirt_objects).reset(one)
            return
    raise OverlabError(f"no machine {name} runs", "overlab up, which starts or creates it")


def start_stopped(found: Survey, progress: Progress) -> list[Resource]:
    """Start machines in the state that do not run, with a line for each; those that do not start."""
    failed = set()
    for one in found.objects:
        if one.standing != "stopped":
            continue
        try:
            (docker_objects if one.host == found.outer else libvirt_objects).start(one)
            progress.note(f"started {one}")
        except OverlabError as error:
            progress.note(f"not started: {one}: {error.what}")
            failed.add((one.host, one.key))
    return [one for one in found.state.resources if (one.host, one.key) in failed]


def refuse_foreign(found: Survey, lab: str) -> None:
    """Raise :class:`OverlabError` where a name that an ``up`` needs is taken by what may be another lab's."""
    if found.foreign:
        raise _foreign(found, lab, "in the way", "give this lab another name (overlab:lab name)")


def refuse_left(found: Survey, lab: str) -> None:
    """Raise :class:`OverlabError` where a ``down`` leaves something that has a name of the lab, or may have it."""
    if found.foreign:
        raise _foreign(found, lab, "left", "leave them")
    if found.objects:
        raise OverlabError(
            f"left of lab {lab}: {', '.join(map(str, found.objects))}",
            "; ".join(one.remedy for one in found.objects if one.remedy) or "overlab down, again",
        )


def _foreign(found: Survey, lab: str, what: str, otherwise: str) -> OverlabError:
    commands = "; ".join(one.remedy for one in found.foreign)
    return OverlabError(
        f"{what}: {', '.join(map(str, found.foreign))}: not in the state of lab {lab}, and maybe another lab's",
        f"if they are this lab's: {commands}; else {otherwise}",
    )
