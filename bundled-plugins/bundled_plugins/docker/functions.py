"""The invokes ``getNetwork``, ``getRemoteImage`` and ``getLogs``. They always contact the daemon, in previews too."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, cast

from bundled_plugins.docker import images
from bundled_plugins.docker.client import Api, Daemon
from bundled_plugins.docker.errors import Failed, framed, told
from bundled_plugins.docker.network import ipam_configs
from bundled_plugins.runtime.errors import CheckFailure
from bundled_plugins.runtime.model import Model, Prop, shapes
from bundled_plugins.runtime.resource import Function, Operation
from bundled_plugins.runtime.values import Properties, unwrap


class ByName(Model):
    """What a look-up by name takes."""

    name: str


class LogsArgs(Model):
    """What getLogs takes."""

    name: str
    show_stdout: Annotated[bool | None, Prop(default=True)] = None
    show_stderr: Annotated[bool | None, Prop(default=True)] = None
    discard_headers: Annotated[bool | None, Prop(default=True)] = None
    logs_list_string_enabled: Annotated[bool | None, Prop(default=True)] = None
    timestamps: Annotated[bool | None, Prop()] = None
    details: Annotated[bool | None, Prop()] = None
    follow: Annotated[bool | None, Prop()] = None
    since: Annotated[str | None, Prop()] = None
    until: Annotated[str | None, Prop()] = None
    tail: Annotated[str | None, Prop()] = None


class DockerFunction(Function):
    """A function of a daemon."""

    model: ClassVar[type[Model]]

    def look(self, op: Operation, api: Api, args: Properties) -> Properties:
        """The answer; ``args`` have their defaults."""
        raise NotImplementedError

    def check(self, args: Properties) -> list[CheckFailure]:
        return self.model.failures(args, self.token)

    def call(self, op: Operation, args: Properties) -> Properties:
        defaults = {n: s.prop.default for n, s in shapes(self.model).items() if s.prop.default is not None}
        with framed(f"invoking {self.token}: "), cast(Daemon, op.provider).serving(op) as api:
            return self.look(op, api, defaults | unwrap(args))


class GetNetwork(DockerFunction):
    """A network by name."""

    token = "docker:index/getNetwork:getNetwork"
    model = ByName

    def look(self, op: Operation, api: Api, args: Properties) -> Properties:
        with told("Could not find docker network"):
            network = api.inspect_network(args["name"])
        return {
            "id": network["Id"],
            "name": network["Name"],
            "driver": network["Driver"],
            "scope": network["Scope"],
            "internal": network["Internal"],
            "options": network.get("Options") or {},
            "ipamConfigs": ipam_configs(network["IPAM"]),
            "containers": [_endpoint(*item) for item in sorted((network.get("Containers") or {}).items())],
        }


class GetRemoteImage(DockerFunction):
    """An image that the daemon has; nothing is pulled."""

    token = "docker:index/getRemoteImage:getRemoteImage"
    model = ByName

    def look(self, op: Operation, api: Api, args: Properties) -> Properties:
        name = args["name"]
        image = images.find(api, name)
        if image is None:
            raise Failed(f"did not find docker image '{name}'")
        digest = images.repo_digest(name, image.get("RepoDigests") or [])
        return {"id": image["Id"], "name": name, "repoDigest": digest}


class GetLogs(DockerFunction):
    """A container's output, line by line.

    Unlike the official function it cuts nothing off: that one takes 8 bytes from every line.
    """

    token = "docker:index/getLogs:getLogs"
    model = LogsArgs

    def look(self, op: Operation, api: Api, args: Properties) -> Properties:
        with told(f"Unable to read logs of container {args['name']}"):
            output = api.logs(
                args["name"],
                stdout=args["showStdout"],
                stderr=args["showStderr"],
                stream=False,
                timestamps=bool(args.get("timestamps")),
                follow=bool(args.get("follow")),
                tail=_tail(args.get("tail")),
                **_bounds(args),
            )
        lines = output.decode(errors="replace").splitlines() if args["logsListStringEnabled"] else []
        return args | {"id": args["name"], "logsListStrings": lines}


def _endpoint(id: str, endpoint: dict[str, Any]) -> Properties:
    return {
        "containerId": id,
        "name": endpoint["Name"],
        "endpointId": endpoint["EndpointID"],
        "macAddress": endpoint["MacAddress"],
        "ipv4Address": endpoint["IPv4Address"],
        "ipv6Address": endpoint["IPv6Address"],
    }


def _tail(text: str | None) -> int | Literal["all"]:
    return int(text) if text and text.isdigit() else "all"


def _bounds(args: Properties) -> dict[str, Any]:
    bounds = {}
    for key in ("since", "until"):
        if args.get(key):
            try:
                bounds[key] = float(args[key])
            except ValueError:
                raise Failed(f"getLogs {key} must be seconds since 1970, got '{args[key]}'") from None
    return bounds
