"""mmdebstrap with this machine's mirror, proxies and archive keys."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from overlab.core import environment
from overlab.core.progress import Progress
from overlab.core.tools import run
from overlab.platform import mirror

IN_PRIVATE_NAMESPACES = tuple(
    "setpriv --pdeathsig=KILL unshare --mount --propagation=private --pid --fork --kill-child --mount-proc".split()
)
"""Prefix of a build's command: its mounts and processes are removed with it, and it is killed with this process."""
_APT_OPTIONS = ('APT::Install-Recommends "false"', "Acquire::Languages none", 'APT::Sandbox::User "root"')


def bootstrap(
    suite: str,
    target: Path,
    packages: Iterable[str],
    options: Iterable[str],
    *,
    scratch: Path,
    log: Path,
    progress: Progress,
    limit_s: float,
) -> None:
    """Write a root file system of a Debian release with these packages to ``target``: a tar file, or a directory."""
    proxies = environment.kept_of(environment.for_downloads(), environment.PROXIES)
    run(
        [
            *IN_PRIVATE_NAMESPACES,
            "mmdebstrap",
            "--mode=root",
            f"--keyring={mirror.archive_keyring()}",
            f"--include={','.join(packages)}",
            *(f"--aptopt={option}" for option in [*_APT_OPTIONS, *mirror.transport_options()]),
            *options,
            suite,
            target,
            *mirror.detect().sources(suite),
        ],
        log=log,
        progress=progress,
        # an initramfs is built later, once for an image
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(scratch), "LC_ALL": "C", "INITRD": "No"} | proxies,
        limit_s=limit_s,
    )
