"""What a preview says that an update destroys."""

from __future__ import annotations

from typing import Any

from overlab.stack.losses import losses


def event(op: str, types: str, name: str) -> dict[str, Any]:
    urn = f"urn:pulumi:s::overlab::overlab:index:Lab${types}::{name}"
    return {"resourcePreEvent": {"metadata": {"op": op, "urn": urn}}}


WORKLOAD = "overlab:index:Workload$docker:index/container:Container"


def test_what_is_recreated_or_removed_is_said_once() -> None:
    machine = "overlab:index:NodeContainer$docker:index/container:Container"
    events = [
        event("replace", WORKLOAD, "t1"),
        event("create-replacement", WORKLOAD, "t1"),
        event("replace", WORKLOAD, "t2"),
        event("delete", "overlab:index:Network$docker:index/network:Network", "ov1"),
        event("replace", machine, "docker01-container"),
        event("replace", "overlab:index:StoreAgent$docker:index/volume:Volume", "docker01-store-data"),
    ]
    assert losses(events) == [
        "workload t1 is recreated: its files are lost",
        "workload t2 is recreated: its files are lost",
        "network ov1 is removed: its workloads are disconnected, or recreated with it",
        "node docker01 is recreated: all that is on it is lost",
        "the store's volume on docker01 is recreated: a single server's networks are lost with it",
    ]


def test_what_is_new_or_changed_is_no_loss() -> None:
    command = "overlab:index:NodeContainer$command:remote:Command"
    events = [event("create", WORKLOAD, "t1"), event("update", WORKLOAD, "t2"), event("same", WORKLOAD, "t3")]
    assert losses([*events, event("replace", command, "docker01-reachable"), {}]) == []
