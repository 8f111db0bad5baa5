"""A platform record for the stacks that come with the program, whatever they ask of it. Its keys are no keys."""

from __future__ import annotations

from pathlib import Path

from components.config.platform import Packages, Platform
from components.config.settings import Settings
from tests.components.recorder import make_platform


def platform_for(settings: Settings, directory: Path) -> Platform:
    """A record with engine packages where the stack asks for them."""
    platform = make_platform(directory, settings)
    if settings.engine.install != "packages":
        return platform
    bundle = directory / "packages.tar"
    bundle.write_text("SOME PACKAGES")
    packages = Packages(bundle=str(bundle), content_hash="0")
    return platform.model_copy(update={"packages": packages})
