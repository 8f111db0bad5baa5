"""A run as JUnit XML: what CI servers read. A suite for each kind of check."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from overlab.checks.reproduce import reproduce_command
from overlab.checks.results import CheckResult, CheckRun
from overlab.checks.text import lines_of
from overlab.core.xmltext import clean
from overlab.diagnosis import causes


def render(run: CheckRun) -> str:
    """A ``testsuites`` document. A check that failed is a failure; one that was not run is an error."""
    sums = _sums(run.results)
    root = ET.Element("testsuites", {"name": f"overlab {run.lab}", "time": f"{run.seconds:.1f}", **sums})
    for kind in dict.fromkeys(verdict.kind for verdict in run.results):
        members = tuple(verdict for verdict in run.results if verdict.kind == kind)
        time = sum(one.seconds for one in members)
        stamp = run.begun.replace(tzinfo=None).isoformat()
        about = {"name": kind, "hostname": run.lab, "timestamp": stamp, "time": str(time), "skipped": "0"}
        suite = ET.SubElement(root, "testsuite", about | _sums(members))
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="sessions", value=str(run.sessions))
        for verdict in members:
            _case(suite, verdict)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def document(run: CheckRun) -> bytes:
    """:func:`render` as the bytes of a file."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + render(run).encode()


def _case(suite: ET.Element, verdict: CheckResult) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=clean(f"overlab.{verdict.node}.{verdict.kind}"),
        name=clean(verdict.title if verdict.title else verdict.id),
        time=str(verdict.seconds),
    )
    if verdict.status == "passed":
        return
    cause = causes.find(verdict)
    said = lines_of(verdict.output)
    message = f"expected {verdict.expect}, got {verdict.got}" if verdict.got else verdict.output
    problem = ET.SubElement(
        case, "failure" if verdict.status == "failed" else "error", type=verdict.kind, message=clean(message)
    )
    told = [f"check:  {verdict.id}", f"where:  {verdict.where}", f"ran:    {verdict.command}", "output:", *said]
    if again := reproduce_command(verdict):
        told.append(f"again:  {again}")
    if cause is not None:
        told += [f"likely: {cause.message}", f"remedy: {cause.remedy}", f"more:   {cause.link}"]
    problem.text = clean("\n".join(told))


def _sums(results: tuple[CheckResult, ...]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(1 for one in results if one.status == "failed")),
        "errors": str(sum(1 for one in results if one.status == "not run")),
    }
