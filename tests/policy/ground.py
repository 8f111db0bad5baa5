"""A ground record for the stacks that come with the program, whatever they ask of it. Its keys are no keys."""

from __future__ import annotations

from pathlib import Path

from components.ground import Ground, Packages, Tls
from components.settings import Settings
from tests.components.recorder import make_ground


def ground_for(settings: Settings, directory: Path) -> Ground:
    """A record with engine packages and a certificate authority where the stack asks for them."""
    ground = make_ground(directory, settings)
    if settings.engine.install == "packages" and ground.packages is None:
        bundle = directory / "packages.tar"
        bundle.write_text("SOME PACKAGES")
        packages = Packages(bundle=str(bundle), content="0", engine=settings.engine.version)
        ground = ground.model_copy(update={"packages": packages})
    if settings.engine.api != "tls" or ground.identity.tls is not None:
        return ground
    pem = directory / "some.pem"
    pem.write_text("SOME PEM\n")
    each = dict.fromkeys(settings.nodes, pem)
    tls = Tls(ca=pem, client_cert=pem, client_key=pem, server_certs=each, server_keys=each)
    return ground.model_copy(update={"identity": ground.identity.model_copy(update={"tls": tls})})
