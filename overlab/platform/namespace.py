"""The named network namespace of a lab, and the processes in it.

The namespace has a loopback and no uplink. It is the lab's own only if the lab's claim file holds the
namespace's inode; one of the same name without a claim is never touched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.process import ProcessRecord, command_line, end
from overlab.core.tools import output
from overlab.core.wait import NotYet, until

if TYPE_CHECKING:
    from overlab.core.paths import LabPaths

_DIRECTORY = Path("/run/netns")
_END_LIMIT_S = 30.0


class _Claim(BaseModel):
    """Who created a namespace. ``inode`` is None until it is created."""

    model_config = ConfigDict(frozen=True)

    name: str
    owner: str
    inode: int | None = None


@dataclass(frozen=True)
class Namespace:
    """The network namespace ``name``, claimed in the file ``claim`` by ``owner`` (the lab's state directory).

    ``claim`` must lie on a file system that a reboot empties (``/run``), as namespaces do.
    """

    name: str
    claim: Path
    owner: str

    @classmethod
    def of(cls, paths: LabPaths) -> Namespace:
        """The namespace of a lab on the bundled platform."""
        return cls(paths.namespace, claim=paths.run / "namespace.json", owner=str(paths.state))

    @property
    def path(self) -> Path:
        return _DIRECTORY / self.name

    def inode(self) -> int | None:
        """The namespace's identity, None when it does not exist (a left-over plain file counts as none)."""
        try:
            info = self.path.stat()
        except OSError:
            return None
        return info.st_ino if info.st_dev == Path("/proc/self/ns/net").stat().st_dev else None

    def ours(self) -> bool:
        """Whether it exists and this lab provably created it."""
        inode = self.inode()
        claim = self._claimed()
        return inode is not None and claim is not None and claim.owner == self.owner and claim.inode == inode

    def other_owner(self) -> str | None:
        """The other lab of the same name, by its state directory, that provably created it; else None."""
        claim = self._claimed()
        if claim is None or claim.owner == self.owner or claim.inode is None or claim.inode != self.inode():
            return None
        return claim.owner

    def claimed_by(self) -> str | None:
        """The state directory of the lab that has claimed it, whether it exists or not."""
        claim = self._claimed()
        return claim.owner if claim is not None else None

    def ensure(self) -> None:
        """Create it if it does not exist; remove the remains of an interrupted run of ours; refuse another's."""
        if self.ours():
            return
        if self.path.exists():
            self._remove_left_over()
        write_private(self.claim, _Claim(name=self.name, owner=self.owner).model_dump_json().encode())
        output(["ip", "netns", "add", self.name])
        output(["ip", "-n", self.name, "link", "set", "lo", "up"])
        claim = _Claim(name=self.name, owner=self.owner, inode=self.inode())
        write_private(self.claim, claim.model_dump_json().encode())

    def command(self, cmd: Sequence[str | Path]) -> list[str]:
        """The command that runs ``cmd`` inside; its process is replaced, so pid, signals and exit code pass through."""
        return ["nsenter", f"--net={self.path}", "--", *(str(word) for word in cmd)]

    def processes(self) -> list[ProcessRecord]:
        """Every process inside, whoever started it; this process and its ancestors are left out."""
        inode = self.inode()
        if inode is None:
            return []
        own = _ancestry()
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            pid = int(directory.name)
            if pid in own:
                continue
            try:
                same = (directory / "ns/net").stat().st_ino == inode
            except OSError:
                continue
            if same and (record := ProcessRecord.of(pid)) is not None:
                found.append(record)
        return found

    def remove(self) -> None:
        """End every process inside and remove it. A namespace that is not ours is left alone."""
        if self.ours() or self._left_over():
            if Path("/proc/self/ns/net").stat().st_ino == self.inode():
                raise OverlabError(
                    f"this command runs inside the network namespace {self.name} that it should remove",
                    "leave that shell and run it again outside",
                )
            until(f"the processes in {self.name} to end", self._end_all, _END_LIMIT_S)
            output(["ip", "netns", "delete", self.name])
        if self.other_owner() is None:
            self.claim.unlink(missing_ok=True)

    def _end_all(self) -> None:
        """End what is inside now; something may be forked meanwhile, so repeat until there is none."""
        inside = self.processes()
        if inside:
            end(inside)
            raise NotYet(", ".join(f"{process.pid} {process.name()}" for process in inside))

    # -- claims --------------------------------------------------------------------------------

    def _claimed(self) -> _Claim | None:
        try:
            return _Claim.model_validate_json(self.claim.read_bytes())
        except (OSError, ValueError):
            return None

    def _left_over(self) -> bool:
        """Whether it is provably the remains of an interrupted run of ours: claimed, but without an inode."""
        claim = self._claimed()
        if not self.path.exists() or claim is None:
            return False
        return claim.owner == self.owner and (claim.inode is None or self.inode() is None) and not self.processes()

    def _remove_left_over(self) -> None:
        if self._left_over():
            output(["ip", "netns", "delete", self.name])
            return
        claim = self._claimed()
        users = "; ".join(f"{process.pid} {command_line(process.pid)[:60]}" for process in self.processes()[:3])
        raise OverlabError(
            f"the network namespace {self.name} exists and is not this lab's own"
            f" (claimed by {claim.owner if claim else 'none'}; processes: {users or 'none'})",
            f"give the lab another name (overlab:lab name), or, if it is unused: ip netns delete {self.name}",
        )


def _ancestry() -> set[int]:
    pids = set()
    pid = os.getpid()
    while pid > 0:
        pids.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError, ValueError):
            break
    return pids
