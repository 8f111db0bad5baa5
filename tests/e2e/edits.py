"""Edits of a lab on node containers, as a table: each is one stack file after another, and one ``overlab up``."""

from __future__ import annotations

from dataclasses import dataclass

BASE = """\
config:
  overlab:lab:
    underlay: {cidr: 10.96.49.0/24}
    machine: {kind: container, memory_mib: 640}
    nodes: {docker01: {address: 10.96.49.11}, docker02: {address: 10.96.49.12}, docker03: {address: 10.96.49.13}}
    networks:
      ov1: {created_on: docker01, subnet: 10.20.0.0/24}
    workloads:
      a1: {node: docker01, networks: {ov1: {ipv4_address: 10.20.0.51}}}
      b1: {node: docker02, networks: [ov1]}
      c1: {node: docker01, networks: {ov1: {ipv4_address: 10.20.0.41}}, ports: ["8080:80"]}
"""


@dataclass(frozen=True)
class Edit:
    """Replacements in the stack file before it; they stay for the edits behind it."""

    name: str
    replacements: tuple[tuple[str, str], ...]

    def of(self, text: str) -> str:
        for old, new in self.replacements:
            assert old in text, f"{self.name}: {old!r}"
            text = text.replace(old, new)
        return text


EDITS = (
    Edit("network renamed, subnet kept", (("ov1", "front"),)),
    Edit(
        "port moves to another workload",
        ((', ports: ["8080:80"]', ""), ("10.20.0.51}}", '10.20.0.51}}, ports: ["8080:80"]')),
    ),
    Edit("two addresses are swapped", (("0.51", "0.X"), ("0.41", "0.51"), ("0.X", "0.41"))),
    Edit("workload moves to another node", (("b1: {node: docker02", "b1: {node: docker03"),)),
    Edit("created_on moves", (("created_on: docker01", "created_on: docker02"),)),
    Edit("node renamed, address kept", (("docker03", "docker09"),)),
    Edit("node removed", ((", docker09: {address: 10.96.49.13}", ""), ("b1: {node: docker09", "b1: {node: docker02"))),
    Edit("node added", (("12}}", "12}, docker04: {address: 10.96.49.14}}"),)),
    Edit("one store server becomes three", (("    networks:\n", "    store: {servers: 3}\n    networks:\n"),)),
    Edit("three store servers become one", (("    store: {servers: 3}\n", ""),)),
    Edit("underlay renumbered", (("10.96.49.", "10.96.50."),)),
)
