"""A run as JUnit XML: what CI servers read. A suite for each kind of check."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from components.checks.model import CheckResult
from overlab.checks.reproduce import reproduce_command
from overlab.checks.results import CheckRun
from overlab.checks.text import lines_of
from overlab.diagnosis import causes
from overlab.report.xmltext import clean


def render(run: CheckRun) -> str:
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
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def document(run: CheckRun) -> bytes:
    """:func:`render` as the bytes of a file."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + render(run).encode()


def _case(suite: ET.Element, result: CheckResult) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=clean(f"overlab.{result.node}.{result.kind}"),
        name=clean(result.title if result.title else result.id),
        time=str(result.seconds),
    )
    if result.status == "passed":
        return
    cause = causes.find(result)
    message = f"expected {result.expect}, got {result.got}" if result.got else result.output
    problem = ET.SubElement(
        case, "failure" if result.status == "failed" else "error", type=result.kind, message=clean(message)
    )
    lines = [f"check:  {result.id}", f"where:  {result.node}", f"ran:    {result.command}"]
    lines += ["output:", *lines_of(result.output)]
    if reproduce := reproduce_command(result):
        lines.append(f"repeat: {reproduce}")
    if cause is not None:
        lines += [f"likely: {cause.likely}", f"remedy: {cause.remedy}", f"more:   {cause.link}"]
    problem.text = clean("\n".join(lines))


def _sums(results: tuple[CheckResult, ...]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(1 for one in results if one.status == "failed")),
        "errors": str(sum(1 for one in results if one.status == "not run")),
    }
