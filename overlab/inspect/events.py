"""What changes from look to look: findings, nodes and endpoints that come and go. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from overlab.inspect.node_report import Fact
from overlab.inspect.status import LabStatus

Kind = Literal["finding", "node", "endpoint"]


class Event(Fact):
    time: str
    cluster: str
    kind: Kind
    change: Literal["appeared", "gone"]
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.time} {self.kind} {self.change}: {self.subject}{f': {self.text}' if self.text else ''}"


def changes(before: LabStatus | None, after: LabStatus, now: datetime) -> list[Event]:
    """First what is gone, then what appeared. Before the first look there was nothing."""
    old, new = _facts(before), _facts(after)
    stamp = now.isoformat(timespec="seconds")

    def event(fact: tuple[Kind, str, str], text: str, change: Literal["appeared", "gone"]) -> Event:
        kind, subject, _ = fact
        return Event(time=stamp, cluster=after.lab, kind=kind, change=change, subject=subject, text=text)

    gone = [event(fact, text, "gone") for fact, text in old.items() if fact not in new]
    return gone + [event(fact, text, "appeared") for fact, text in new.items() if fact not in old]


def _facts(status: LabStatus | None) -> dict[tuple[Kind, str, str], str]:
    """By what makes it one and the same: its text."""
    if status is None:
        return {}
    facts: dict[tuple[Kind, str, str], str] = {}
    for node in status.nodes:
        if node.error is None:
            facts["node", node.name, ""] = f"engine {node.engine}" if node.engine else "no engine answers"
    for network in status.networks:
        for endpoint in network.endpoints:
            subject = f"{network.name}/{endpoint.name}"
            facts["endpoint", subject, endpoint.id] = f"{endpoint.address} on {endpoint.node}"
    for one in status.findings:
        facts["finding", one.subject, one.id] = f"{one.severity} {one.id}: {one.message} ({one.evidence})"
    return facts
