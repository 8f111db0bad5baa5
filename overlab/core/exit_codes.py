"""Exit codes of every command; ``docs/howto/command-line.md`` has the same table. `pulumi`, `exec` and `ssh` pass on
those of the program that they run."""

from __future__ import annotations

DONE = 0
FAILED = 1
"""It did not succeed; or a check failed, `status` found a disagreement, `doctor` something that is missing."""
COULD_NOT_RUN = 2
"""Settings or arguments are invalid; or `test` could not run every check, or no node answered `status`."""
NOTHING = 3
"""`down` found nothing of the lab."""
INTERRUPTED = 130
OPERATION_FAILED = 255
"""Pulumi's own, also where it was killed."""
