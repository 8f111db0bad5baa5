"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# Examples take as long as a busy machine makes them; pytest's own limit holds for the whole test.
# The same examples in every run: a change is not refused for what it did not do. `make fuzz` draws others.
settings.register_profile("lab", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, derandomize=False)
settings.load_profile("lab")
