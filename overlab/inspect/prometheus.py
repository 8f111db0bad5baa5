"""A status as metrics, in the text format of Prometheus: for the node exporter's textfile collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from overlab.inspect import status as states
from overlab.inspect.status import LabStatus

Samples = Iterable[tuple[Mapping[str, str], float]]


def render(status: LabStatus) -> str:
    """Each metric once with its help; labels hold any text."""
    kinds = Counter((one.id, one.severity, one.subject) for one in status.findings)
    entries = Counter(
        (network.name, node, state)
        for network in status.networks
        for endpoint in network.endpoints
        for node, state in endpoint.kernel.items()
        if state not in (states.LOCAL, states.ABSENT)
    )
    nodes = status.nodes
    metrics: list[tuple[str, str, Samples]] = [
        ("healthy", "1 where every view agrees.", [({}, float(status.healthy))]),
        (
            "node_up",
            "1 where the node answers.",
            [({"node": one.name}, float(one.error is None)) for one in nodes],
        ),
        (
            "engine_up",
            "1 where its engine answers.",
            [({"node": one.name}, float(bool(one.engine))) for one in nodes],
        ),
        (
            "look_seconds",
            "How long the node took to report.",
            [({"node": one.name}, one.seconds) for one in nodes],
        ),
        (
            "finding",
            "What is wrong or noted, as overlab status names it.",
            [
                ({"id": id_, "severity": severity, "subject": subject}, float(count))
                for (id_, severity, subject), count in sorted(kinds.items())
            ],
        ),
        (
            "endpoints",
            "Endpoints of a network.",
            [({"network": one.name}, float(len(one.endpoints))) for one in status.networks],
        ),
        (
            "peer_entries",
            "A node's entries for endpoints on other nodes, by state.",
            [
                ({"network": network, "node": node, "state": state}, float(count))
                for (network, node, state), count in sorted(entries.items())
            ],
        ),
    ]
    return "".join(_metric(status.lab, name, text, samples) for name, text, samples in metrics)


def _metric(cluster: str, name: str, text: str, samples: Samples) -> str:
    lines = [f"# HELP overlab_{name} {text}", f"# TYPE overlab_{name} gauge"]
    for labels, value in samples:
        shown = ",".join(f'{key}="{_escaped(label)}"' for key, label in {"cluster": cluster, **labels}.items())
        lines.append(f"overlab_{name}{{{shown}}} {value:g}")
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
