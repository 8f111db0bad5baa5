"""dockerd installed from packages on a plain image; and a lab whose machine died is destroyed all the same."""

from __future__ import annotations

import libvirt
import pytest

from tests.e2e import platform
from tests.e2e.lab import RealLab


@pytest.fixture(scope="module")
def lab(plain: RealLab) -> RealLab:
    """The lab, up."""
    plain.overlab("up").ok()
    return plain


def test_the_engine_was_installed_from_packages(lab: RealLab) -> None:
    outputs = lab.outputs()
    engine = outputs["nodes"]["docker01"]["engine"]
    assert engine["installed_from"] == "packages"
    assert engine["version"].startswith("20.10")
    assert outputs["checks"]
    assert all(check["status"] == "passed" for check in outputs["checks"])


def test_a_killed_machine_does_not_hinder_destroy(lab: RealLab) -> None:
    connection = libvirt.open(platform.lab_uri(lab))
    connection.lookupByName("overlab-plain-docker01").destroy()
    connection.close()
    lab.overlab("down").ok()
    assert platform.objects(lab) == {"domains": [], "networks": [], "pools": []}
    assert platform.files(lab) == []
    assert lab.resources() == []
    lab.overlab("down", "--platform").ok()
    assert platform.traces(lab) == []
