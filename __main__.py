"""The lab as a Pulumi program: settings -> Lab -> outputs."""

from __future__ import annotations

import pulumi

from components.config import settings
from components.lab import Lab

lab = Lab(*settings.load())

for name, value in lab.outputs.items():
    pulumi.export(name, value)
