"""Rules on published ports. Those that the lab itself needs: ``PortSpec``."""

from __future__ import annotations

from components.config import conventions
from components.config.derived import choices, has_egress
from components.config.draft import Draft
from components.config.spec import WorkloadSpec


def _owners(lab: Draft) -> None:
    owners: dict[tuple[str | None, int, str], str] = {}
    for key, workload in sorted(lab.workloads.items()):
        for index, port in enumerate(workload.ports):
            if port.published is not None:
                own = f"workloads.{key}.ports.{index}"
                owner = owners.setdefault((workload.node, port.published, port.protocol), own)
                if owner != own:
                    rule = f"one workload a port of a node; {owner} is {port.published}/{port.protocol} too"
                    path = ("workloads", key, "ports", index, "published")
                    lab.add_problem(path, rule, "choose another port, another node, or none")


def _picked(lab: Draft) -> None:
    """A stated port that an engine may pick for another container, which then has it at each second start."""
    picking: dict[str | None, list[str]] = {}
    for key, workload in sorted(lab.workloads.items()):
        if _picks(workload):
            picking.setdefault(workload.node, []).append(key)
    for key, workload in lab.workloads.items():
        for index, port in enumerate(workload.ports):
            if port.published in conventions.PICKED_PORTS and workload.node in picking:
                first = conventions.PICKED_PORTS[0]
                who = choices(picking[workload.node])
                rule = f"below {first} on {workload.node}, whose engine picks ports from there on for {who}"
                lab.add_problem(("workloads", key, "ports", index, "published"), rule, "choose a lower port, or none")


def _picks(workload: WorkloadSpec) -> bool:
    return workload.publish_all or any(port.published is None for port in workload.ports)


def _reachable(lab: Draft) -> None:
    """Ports are published on docker_gwbridge, to which an internal network connects nobody."""
    for key, workload in lab.workloads.items():
        if not workload.networks or not lab.networks.keys() >= workload.networks.keys() or has_egress(lab, workload):
            continue
        for part in ("ports", "publish_all"):
            if getattr(workload, part):
                names = ", ".join(workload.networks)
                networks = [lab.networks[name] for name in workload.networks]
                if own := sorted({network.driver for network in networks if not network.kind.egress}):
                    rule = (
                        f"not on a network of driver {choices(own)}: Docker then publishes nothing, and reports nothing"
                    )
                    remedy = "leave this out, or the network: even beside an overlay its gateway is the only one"
                    lab.add_problem(("workloads", key, part), rule, remedy)
                    continue
                rule = f"not on internal networks alone ({names}): Docker then publishes nothing, and reports nothing"
                remedy = "connect it to a network that is not internal too, or leave this out"
                lab.add_problem(("workloads", key, part), rule, remedy)


RULES = (_owners, _picked, _reachable)
