"""The policy pack of the lab."""

from __future__ import annotations

from pulumi_policy import PolicyPack
from rules import ALL
from rules.pack import policies

PolicyPack("overlab", policies(ALL))
