"""A fast import for plugin processes: of the Pulumi SDK they need only the protocol's stubs.

``import pulumi.runtime.proto`` runs the whole SDK (automation API, tracing, ...): half of a plugin's start-up time,
and several plugins start for every preview and every update.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

#: Packages whose ``__init__`` is skipped, outermost first.
_SKIPPED = ("pulumi", "pulumi.runtime")

#: What paramiko imports if it can, only for ``Match exec`` in ssh_config files, which no plugin reads.
_UNUSED = ("invoke",)


def start() -> None:
    """Make later imports of the protocol's stubs fast. For plugin processes only: they cannot use the SDK afterwards.

    Does nothing where the SDK is imported already. To be called before anything that imports the stubs.
    """
    if _SKIPPED[0] in sys.modules:
        return
    found = importlib.util.find_spec(_SKIPPED[0])
    if found is None or not found.submodule_search_locations:
        return  # the import that follows reports it
    top = Path(found.submodule_search_locations[0])
    for name in _SKIPPED:
        package = ModuleType(name)
        package.__path__ = [str(top.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    for name in _UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None stands for "cannot be imported"
