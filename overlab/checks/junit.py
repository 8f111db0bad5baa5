"""A run as JUnit XML: what CI servers read. A suite for each kind of check."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from components.checks.model import CheckResult
from overlab.checks.results import CheckRun
from overlab.checks.text import rows
from overlab.core.xmltext import clean


def document(run: CheckRun) -> bytes:
    """A ``testsuites`` document. A check that failed is a failure; one that was not run is an error."""
    sums = _sums(run.results)
    root = ET.Element("testsuites", {"name": f"overlab {run.lab}", "time": f"{run.seconds:.1f}", **sums})
    for kind in dict.fromkeys(result.kind for result in run.results):
        members = tuple(result for result in run.results if result.kind == kind)
        time = sum(one.seconds for one in members)
        stamp = run.begun.replace(tzinfo=None).isoformat()
        about = {"name": kind, "hostname": run.lab, "timestamp": stamp, "time": str(time), "skipped": "0"}
        suite = ET.SubElement(root, "testsuite", about | _sums(members))
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="sessions", value=str(run.sessions))
        for result in members:
            _case(suite, result)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"


def _case(suite: ET.Element, result: CheckResult) -> None:
    about = {"classname": f"overlab.{result.node}.{result.kind}", "name": result.title, "time": str(result.seconds)}
    case = ET.SubElement(suite, "testcase", {name: clean(value) for name, value in about.items()})
    if result.status == "passed":
        return
    message = f"expected {result.expect}, got {result.got}" if result.got else result.output
    kind = "failure" if result.status == "failed" else "error"
    problem = ET.SubElement(case, kind, type=result.kind, message=clean(message))
    problem.text = clean("\n".join(f"{name + ':':8}{value}" for name, value in [("check", result.id), *rows(result)]))


def _sums(results: tuple[CheckResult, ...]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(1 for one in results if one.status == "failed")),
        "errors": str(sum(1 for one in results if one.status == "not run")),
    }
