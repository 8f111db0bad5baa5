"""The Debian mirror: named by the environment, or read from this machine's apt configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from overlab.core.errors import OverlabError
from overlab.core.tools import output

MAIN_ENV = "OVERLAB_DEBIAN_MIRROR"
SECURITY_ENV = "OVERLAB_DEBIAN_SECURITY_MIRROR"

_FORMAT = "$(SITE)\t$(RELEASE)\t$(ORIGIN)\t$(LABEL)"
_RELEASES = "buster bullseye bookworm trixie forky sid oldoldstable oldstable stable testing unstable".split()
_TRANSPORT_OPTIONS = ("Acquire::http", "Acquire::https", "Acquire::Retries", "Acquire::ForceIPv4")


@dataclass(frozen=True)
class Mirror:
    """Base URIs of a Debian archive and of its security archive, the part before ``dists/``."""

    main: str
    security: str

    def sources(self, suite: str) -> list[str]:
        """One-line apt sources of a Debian release and its security updates (main component).

        How old its signed lists may be does not count: those of a release past its end of life are renewed no more.
        """
        archives = ((self.main, suite), (self.security, f"{suite}-security"))
        return [f"deb [check-valid-until=no] {archive} {name} main" for archive, name in archives]


def named() -> Mirror | None:
    """The one that the environment names."""
    if not (stated := os.environ.get(MAIN_ENV)):
        return None
    main = stated.rstrip("/")
    return Mirror(main, os.environ.get(SECURITY_ENV, f"{main}-security").rstrip("/"))


def detect(apt_options: Iterable[str] = ()) -> Mirror:
    """The mirror that the environment names, or the one in the machine's own apt sources, in either format.

    Raises :class:`OverlabError` where apt knows no Debian archive. ``apt_options`` go to ``apt-get`` (``-o`` pairs).
    """
    if (stated := named()) is not None:
        return stated
    command = ["apt-get", *apt_options, "indextargets", "--format", _FORMAT]
    listing = output([*command, "Created-By: Packages"])
    if not listing:  # before the first `apt-get update`: the configuration, without the archives' Release files
        listing = output([*command, "--no-release-info", "Created-By: Packages"])
    return parse(listing)


def parse(listing: str) -> Mirror:
    """:func:`detect` on text: lines of site, release, origin and label, separated by tabs.

    Origin and label are empty, or not expanded, until the first ``apt-get update``; the release's name decides then.
    """
    main = security = None
    for line in listing.splitlines():
        fields = ["" if field.startswith("$(") else field for field in line.split("\t")]
        site, release, origin, label = [*fields, "", "", ""][:4]
        codename = re.split("[-/]", release)[0]
        if origin != "Debian" and (origin or codename not in _RELEASES):
            continue
        if label == "Debian-Security" or release.endswith(("-security", "/updates")):
            security = security or site.rstrip("/")
        elif release == codename:
            main = main or site.rstrip("/")
    if main is None:
        raise OverlabError(
            "apt on this machine knows no Debian archive (`apt-get indextargets` lists none)",
            f"name one: {MAIN_ENV}=URL of a Debian mirror, the part before dists/",
        )
    return Mirror(main, security or f"{main}-security")


def transport_options() -> list[str]:
    """The machine's apt settings for reaching that mirror (proxies, certificates), as ``Key "value"`` lines.

    A build in a separate root does not read ``/etc/apt``; these settings have to be passed on.
    """
    dump = output(["apt-config", "dump", "--no-empty", "--format", "%F\t%v%n"])
    options = []
    for line in dump.splitlines():
        key, _, value = line.partition("\t")
        if key.startswith(_TRANSPORT_OPTIONS):
            options.append(f'{key} "{value}"')
    return options


def archive_keyring() -> Path:
    """Debian's archive keys on this machine."""
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if not keyring.is_file():
        raise OverlabError(
            f"{keyring} is missing: packages cannot be verified", "run: apt-get install debian-archive-keyring"
        )
    return keyring
