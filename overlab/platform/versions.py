"""Which Pulumi CLI is built, or accepted from the machine, and which Go builds it. Standard library only."""

PULUMI = "3.259.0"
"""The version that is built, and the oldest that is accepted from the machine."""

GO = "1.25.11"
"""The oldest Go that can build it."""


def parse(version: str) -> tuple[int, ...]:
    """Major, minor and patch of a version, for comparison; what follows a hyphen does not count."""
    return tuple(int(number) for number in version.split("-")[0].lstrip("vgo").split(".")[:3] if number.isdigit())
