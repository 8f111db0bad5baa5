"""A ground record for the stacks that come with the program, whatever they ask of it. Its keys are no keys."""

from __future__ import annotations

from pathlib import Path

from components.config.platform import Ground, Packages
from components.config.settings import Settings
from tests.components.recorder import make_ground


def ground_for(settings: Settings, directory: Path) -> Ground:
    """A record with engine packages where the stack asks for them."""
    ground = make_ground(directory, settings)
    if settings.engine.install != "packages":
        return ground
    bundle = directory / "packages.tar"
    bundle.write_text("SOME PACKAGES")
    packages = Packages(bundle=str(bundle), content="0", engine=settings.engine.version)
    return ground.model_copy(update={"packages": packages})
