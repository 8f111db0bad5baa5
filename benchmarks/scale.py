"""How the program grows with the nodes: the lab under mocks, each size in a separate process.

``python -m benchmarks.scale`` prints a table and writes it to ``docs/scale.md``; ``--sizes 3,30`` for others.
One workload a node; overlays of ten members, so that the checks of all pairs grow with the overlays and not squared.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SIZES = (3, 30, 100, 250)
MEMBERS = 10
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
BEGIN, END = "<!-- table: make bench-scale -->", "<!-- end of table -->"


@dataclass(frozen=True)
class Figures:
    """What one size took."""

    nodes: int
    servers: int
    networks: int
    checks: int
    resources: int
    dependencies: int
    """Edges between resources, as registered with the engine."""
    script_kib: int
    """Text of all node scripts."""
    settings_s: float
    """Validation of the stack's configuration."""
    matrix_s: float
    """Derivation of the checks."""
    program_s: float
    """The program, from settings to the last registration."""
    peak_mib: int


def lab(nodes: int, servers: int) -> dict[str, Any]:
    """The raw settings of a lab of that size."""
    keys = [f"docker{number:03d}" for number in range(1, nodes + 1)]
    networks = {
        f"ov{index}": {"created_on": keys[index * MEMBERS], "subnet": f"10.200.{index}.0/24"}
        for index in range((nodes + MEMBERS - 1) // MEMBERS)
    }
    return {
        "underlay": {"cidr": "10.64.0.0/16"},
        "nodes": dict.fromkeys(keys, None),
        "store": {"servers": servers},
        "networks": networks,
        "workloads": {
            f"t{number}": {"node": key, "networks": [f"ov{number // MEMBERS}"]} for number, key in enumerate(keys)
        },
    }


def measure(nodes: int, servers: int) -> Figures:
    """Run one size in this process."""
    from components import checks
    from components.config.settings import parse
    from tests.components.recorder import make_platform, run_lab

    raw = lab(nodes, servers)
    settings_s, settings = _timed(lambda: parse(raw, "scale"))
    matrix_s, matrix = _timed(lambda: checks.matrix(settings))
    with tempfile.TemporaryDirectory(prefix="overlab-scale-") as directory:
        platform = make_platform(Path(directory), settings)
        program_s, recorder = _timed(lambda: run_lab(settings, platform))
    declared = recorder.declared.values()
    scripts = [item.inputs.get("stdin", "") for item in declared if item.type.startswith("command:remote:")]
    return Figures(
        nodes=nodes,
        servers=servers,
        networks=len(settings.networks),
        checks=len(matrix),
        resources=len(declared),
        dependencies=sum(len(item.dependencies) for item in declared),
        script_kib=sum(len(str(script)) for script in scripts) // 1024,
        settings_s=round(settings_s, 3),
        matrix_s=round(matrix_s, 3),
        program_s=round(program_s, 1),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def _timed(work: Any) -> tuple[float, Any]:
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def in_own_process(nodes: int, servers: int) -> Figures:
    """Run one size where nothing else has used memory."""
    command = [sys.executable, "-m", "benchmarks.scale", "--one", str(nodes), str(servers)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr}")
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


COLUMNS = {
    "nodes": "nodes",
    "servers": "store servers",
    "networks": "networks",
    "checks": "checks",
    "resources": "resources",
    "dependencies": "dependencies",
    "script_kib": "scripts, KiB",
    "settings_s": "settings, s",
    "matrix_s": "check matrix, s",
    "program_s": "program, s",
    "peak_mib": "peak memory, MiB",
}


def table(rows: list[Figures]) -> str:
    """The figures as a Markdown table."""
    lines = [" | ".join(COLUMNS.values()), " | ".join("---:" for _ in COLUMNS)]
    lines += [" | ".join(str(asdict(row)[key]) for key in COLUMNS) for row in rows]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def write(rows: list[Figures]) -> None:
    """Put the table into the page, between its marks."""
    text = PAGE.read_text("utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}{END}{after}", "utf-8")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--one", nargs=2, type=int, metavar=("NODES", "SERVERS"), help="one size, here, as JSON")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of nodes, with commas")
    parser.add_argument("--servers", default="1,3", help="numbers of store servers, with commas")
    parser.add_argument("--print", action="store_true", help="leave the page alone")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(measure(*options.one))))
        return
    rows = [
        in_own_process(int(nodes), int(servers))
        for servers in options.servers.split(",")
        for nodes in options.sizes.split(",")
    ]
    if not options.print:
        write(rows)
    print(table(rows), end="")


if __name__ == "__main__":
    main()
