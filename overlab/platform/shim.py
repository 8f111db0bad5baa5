"""The lab's `pulumi` command: the real CLI, inside the lab's network namespace, on a copy of the stack file."""

from __future__ import annotations

import shlex
from pathlib import Path

from overlab.core import environment
from overlab.core.files import write_private
from overlab.core.paths import LabPaths

# PULUMI_OPTION_CONFIG_FILE is the CLI's own --config-file, for every command that has it; so is PRESERVE_CONFIG, which
# only `stack rm` has.
_SCRIPT = """\
#!/bin/sh
# What the caller's shell exports for other tools must not change the lab: these variables pass.
for name in $(env | sed -n 's/^\\([A-Za-z_][A-Za-z0-9_]*\\)=.*/\\1/p'); do
    case $name in
    {kept}) ;;
    {downloads}) [ -z "$PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" ] || unset "$name" ;;
    *) unset "$name" ;;
    esac
done
# Pulumi writes the salt of its secrets into the stack file. It gets a copy, so that the file in the checkout does not
# change; a command that edits the configuration or names another stack or directory gets the file itself.
stack_file={checkout}/Pulumi.$PULUMI_STACK.yaml
for word; do
    case $word in
    --remove | --remove=true)
        echo "error: pulumi --remove would delete $stack_file with the stack" >&2
        echo "  remedy: without --remove; then pulumi stack rm, which keeps the file" >&2
        exit 1
        ;;
    config | -c* | --config* | -s* | --stack | --stack=* | -C* | --cwd | --cwd=*) stack_file= ;;
    esac
done
if [ -f "$stack_file" ]; then
    export PULUMI_OPTION_CONFIG_FILE={copies}/Pulumi.$PULUMI_STACK.yaml
    # A salt without secrets may be another lab's: without one, Pulumi takes the salt from the stack's state.
    strip='/^encryptionsalt:/d'
    ! grep -q 'secure *:' "$stack_file" || strip=
    new=$PULUMI_OPTION_CONFIG_FILE.$$
    (umask 077 && mkdir -p {copies} && sed "$strip" "$stack_file" >"$new" &&
        mv "$new" "$PULUMI_OPTION_CONFIG_FILE") || exit 1
fi
export PULUMI_OPTION_PRESERVE_CONFIG=true
exec {command} "$@"
"""


PULUMI_VARIABLES = (
    *("PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_STACK"),
    *("PULUMI_SKIP_UPDATE_CHECK", "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER"),
    *("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "PULUMI_IGNORE_AMBIENT_PLUGINS", "PULUMI_DEBUG_COMMANDS"),
)
"""Those that a lab sets itself."""


def write(paths: LabPaths, cli: Path, checkout: Path, namespace: str | None) -> None:
    """Write it into the lab's ``bin``. It replaces itself with the CLI: pid, signals and exit code pass through."""
    command = [str(cli)]
    # a hypervisor of the user's own may be reached over SSH, with the user's agent
    agent = [environment.AGENT] if namespace is None else []
    kept = [*environment.KEPT, *PULUMI_VARIABLES, "DOCKER_CONFIG", *agent]
    if namespace is not None:
        command = ["nsenter", f"--net=/run/netns/{namespace}", "--", *command]
    text = _SCRIPT.format(
        checkout=shlex.quote(str(checkout)),
        copies=shlex.quote(str(paths.stack_files)),
        command=shlex.join(command),
        kept=" | ".join(kept),
        downloads=" | ".join(environment.PROXIES),
    ).encode()
    file = paths.bin / "pulumi"
    if not file.exists() or file.read_bytes() != text:
        write_private(file, text, mode=0o755)
