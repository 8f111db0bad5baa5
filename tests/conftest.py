"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# Examples take as long as a busy machine makes them; pytest's own limit holds for the whole test.
settings.register_profile("lab", deadline=None)
settings.load_profile("lab")
