"""What a caller's shell may export for other tools, with values that would break a lab if anything read them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from overlab.core.paths import cache_root

_NOWHERE = "/nonexistent/overlab"
_PROXY = "http://192.0.2.1:9"  # TEST-NET-1: answers nothing

_VALUES = {
    # Docker
    "DOCKER_HOST": "tcp://192.0.2.1:2375",
    "DOCKER_CONTEXT": "nowhere",
    "DOCKER_CONFIG": _NOWHERE,
    "DOCKER_CERT_PATH": _NOWHERE,
    "DOCKER_CA_MATERIAL": "x",
    "DOCKER_CERT_MATERIAL": "x",
    "DOCKER_KEY_MATERIAL": "x",
    "DOCKER_TLS": "1",
    "DOCKER_TLS_VERIFY": "1",
    "DOCKER_API_VERSION": "1.12",
    "DOCKER_SSH_OPTS": f"-F {_NOWHERE}",
    "DOCKER_DEFAULT_PLATFORM": "linux/s390x",
    "DOCKER_REGISTRY_USER": "x",
    "DOCKER_REGISTRY_PASS": "x",
    # Pulumi
    "PULUMI_HOME": _NOWHERE,
    "PULUMI_BACKEND_URL": "s3://nowhere",
    "PULUMI_STACK": "other",
    "PULUMI_ACCESS_TOKEN": "x",
    "PULUMI_CONFIG_PASSPHRASE": "another",
    "PULUMI_CONFIG_PASSPHRASE_FILE": _NOWHERE,
    "PULUMI_PYTHON_CMD": "/bin/false",
    "PULUMI_SELF_MANAGED_STATE_GZIP": "true",
    "PULUMI_SELF_MANAGED_STATE_LEGACY_LAYOUT": "true",
    "PULUMI_OPTION_CONFIG_FILE": _NOWHERE,
    "PULUMI_OPTION_TARGET": "urn:pulumi:other::overlab::a:b:C::d",
    "PULUMI_OPTION_PARALLEL": "0",
    "PULUMI_DISABLE_RESOURCE_REFERENCES": "true",
    "PULUMI_CONFIG": "{}",
    "PULUMI_POLICY_PACKS": _NOWHERE,
    # Python
    "PYTHONHOME": _NOWHERE,
    "PYTHONUSERBASE": _NOWHERE,
    "PYTHONPLATLIBDIR": "nowhere",
    "PYTHONEXECUTABLE": _NOWHERE,
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONIOENCODING": "ascii:strict",
    "PYTHONINSPECT": "1",
    "PYTHONSAFEPATH": "1",
    "VIRTUAL_ENV": _NOWHERE,
    "CONDA_PREFIX": _NOWHERE,
    # OpenSSH
    "SSH_AUTH_SOCK": _NOWHERE,
    "SSH_ASKPASS": "/bin/false",
    "SSH_ASKPASS_REQUIRE": "force",
    # proxies and certificates
    **dict.fromkeys(("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "grpc_proxy"), _PROXY),
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "GRPC_PROXY"), _PROXY),
    "no_proxy": "",
    "SSL_CERT_FILE": _NOWHERE,
    "SSL_CERT_DIR": _NOWHERE,
    "REQUESTS_CA_BUNDLE": _NOWHERE,
    "CURL_CA_BUNDLE": _NOWHERE,
    # libvirt, Consul, Terraform's providers, Go, the shell
    "LIBVIRT_DEFAULT_URI": "test:///default",
    "TERRAFORM_LIBVIRT_TEST_DOMAIN_TYPE": "xen",
    "TF_LIBVIRT_RNG_DEV": _NOWHERE,
    "CONSUL_HTTP_ADDR": "192.0.2.1:8500",
    "CONSUL_HTTP_TOKEN": "x",
    "CONSUL_HTTP_SSL": "true",
    "GODEBUG": "netdns=go+2,http2debug=2",
    "ENV": _NOWHERE,
    "BASH_ENV": _NOWHERE,
    "POSIXLY_CORRECT": "1",
}
_SHADOWED = "bundled_plugins components docker grpc overlab paramiko pulumi pydantic sitecustomize typer yaml"


def environment(directory: Path) -> dict[str, str]:
    """The variables; ``directory`` gets a home and a PYTHONPATH whose every module fails."""
    modules, home = directory / "modules", directory / "home"
    for name in _SHADOWED.split():
        (modules / name).mkdir(parents=True)
        (modules / name / "__init__.py").write_text(f"raise SystemExit('another {name} was imported')\n")
    (home / ".docker").mkdir(parents=True)
    client = {"proxies": {"default": {"httpProxy": _PROXY}}, "credsStore": "nowhere", "currentContext": "nowhere"}
    (home / ".docker" / "config.json").write_text(json.dumps(client))
    return {**_VALUES, "PYTHONPATH": str(modules), "HOME": str(home), "OVERLAB_CACHE": str(cache_root())}


if __name__ == "__main__":  # to try a command: python -m tests.e2e.hostile NEW_DIRECTORY .venv/bin/overlab up
    import sys

    os.execvpe(sys.argv[2], sys.argv[2:], {**os.environ, **environment(Path(sys.argv[1]))})
