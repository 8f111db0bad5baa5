"""The network drivers that a lab can have, by the word for each in ``networks.*.driver``."""

from __future__ import annotations

from typing import Final

from components.config.drivers.driver import NetworkDriver as NetworkDriver
from components.config.drivers.ipvlan import IPVLAN
from components.config.drivers.macvlan import MACVLAN
from components.config.drivers.overlay import OVERLAY

DRIVERS: Final = {driver.name: driver for driver in (OVERLAY, MACVLAN, IPVLAN)}
