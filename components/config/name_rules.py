"""Rules on names: those that engines, the store and containers have already, and one owner of each on a network."""

from __future__ import annotations

from components.config import conventions
from components.config.derived import agent_nodes, node_of
from components.config.draft import Draft


def _names_on_networks(lab: Draft) -> None:
    """One owner a name: the resolver of a network ignores case."""
    owners: dict[tuple[str, str], str] = {}
    for key, workload in sorted(lab.workloads.items()):
        for name in workload.networks:
            if (owner := owners.setdefault((name, key.lower()), key)) != key:
                rule = f"one owner a name on a network, where case does not count; workloads.{owner} is on {name} too"
                lab.add_problem(("workloads", key), rule, "choose another name", key)
    owned = {place: f"workloads.{key}" for place, key in owners.items()}
    for key, workload in sorted(lab.workloads.items()):
        for name, attachment in workload.networks.items():
            for index, alias in enumerate(attachment.aliases):
                path = ("workloads", key, "networks", name, "aliases", index)
                own = ".".join(map(str, path))
                if (first := owned.setdefault((name, alias.lower()), own)) != own:
                    rule = f"one owner a name on a network, across nodes; {first} has it already"
                    lab.add_problem(path, rule, "choose another alias")


def _network_names(lab: Draft) -> None:
    for key in lab.networks:
        if key in conventions.ENGINE_NETWORKS:
            rule = f"not a network of every engine's own: {', '.join(sorted(conventions.ENGINE_NETWORKS))}"
            lab.add_problem(("networks", key), rule, "choose another name, such as ov1", key)


def _store_names(lab: Draft) -> None:
    agents = agent_nodes(lab)
    for key, workload in lab.workloads.items():
        if lab.store and key == lab.store.backend.name and (node := node_of(lab, workload)) in agents:
            rule = f"not the name of the store's container, which runs on {node}"
            lab.add_problem(("workloads", key), rule, "choose another name", key)


def _loopback_names(lab: Draft) -> None:
    rule = "not a name that every container's /etc/hosts has: there it is the container itself"
    for key, workload in lab.workloads.items():
        if key.lower() in conventions.LOOPBACK_NAMES:
            lab.add_problem(("workloads", key), rule, "choose another name", key)
        for name, attachment in workload.networks.items():
            for index, alias in enumerate(attachment.aliases):
                if alias in conventions.LOOPBACK_NAMES:
                    path = ("workloads", key, "networks", name, "aliases", index)
                    lab.add_problem(path, rule, "choose another alias")


RULES = (_names_on_networks, _network_names, _store_names, _loopback_names)
