"""Copying files to another machine over SFTP, by the official provider's rules."""

from __future__ import annotations

import io
import posixpath
import stat
from pathlib import Path
from typing import IO, Final

import paramiko

from bundled_plugins.command.stopping import Stop
from bundled_plugins.runtime.errors import ProviderError

#: SFTP's usual largest write; more is cut by servers.
_BLOCK: Final = 32 * 1024


class Copier:
    """Copies to one server; every method overwrites existing files and does not set modes, owners and times."""

    def __init__(self, sftp: paramiko.SFTPClient, stop: Stop) -> None:
        self._sftp = sftp
        self._stop = stop

    def text(self, content: str, destination: str) -> None:
        """A text to the file ``destination``, whose parents are created."""
        if self._is_directory(destination):
            raise ProviderError(
                f"remote path {destination} is a directory; when using a text asset, remotePath must be a file path"
            )
        self._make_parents(destination)
        self._write(io.BytesIO(content.encode()), "the text asset", destination)

    def file(self, source: str, destination: str) -> None:
        """A local file to ``destination``, or into it where that is a directory."""
        local = Path(source)
        if not local.exists():
            raise ProviderError(f"failed to stat local path {source} (in {Path.cwd()}): no such file or directory")
        if self._is_directory(destination):
            destination = posixpath.join(destination, local.name)
        else:
            self._make_parents(destination)
        self._send(local, destination)

    def _send(self, source: Path, destination: str) -> None:
        try:
            if not source.is_file():
                raise OSError(0, "not a regular file, or a broken symbolic link")
            with source.open("rb") as file:
                self._write(file, str(source), destination)
        except OSError as error:
            raise ProviderError(
                f"failed to copy file {source} to remote path {destination}: {_reason(error)}"
            ) from error

    def _write(self, file: IO[bytes], what: str, destination: str) -> None:
        try:
            remote = self._sftp.open(destination, "wb")
        except OSError as error:
            raise ProviderError(f"failed to create remote file {destination}: {_reason(error)}") from error
        try:
            with remote:
                remote.set_pipelined(True)
                block = file.read(_BLOCK)
                while block:
                    self._stop.check()
                    following = file.read(_BLOCK)
                    if not following:
                        # The last write waits for the answers to all of them: only they report a full disk.
                        remote.set_pipelined(False)
                    remote.write(block)
                    block = following
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise ProviderError(f"failed to copy file {what} to remote path {destination}: {_reason(error)}") from error

    def _make_parents(self, path: str) -> None:
        try:
            self._make_directory(posixpath.dirname(path))
        except ProviderError as error:
            raise ProviderError(f"failed to create parent directories for {path}: {error}") from error

    def _make_directory(self, path: str) -> None:
        """The directory and its parents, where they are not there yet."""
        if path in ("", "/"):
            return
        mode = self._mode(path)
        if mode is not None:
            if not stat.S_ISDIR(mode):
                raise ProviderError(f"remote path {path} exists but is not a directory")
            return
        self._make_directory(posixpath.dirname(path.rstrip("/")))
        try:
            self._sftp.mkdir(path)
        except OSError as error:
            if not self._is_directory(path):  # another operation may have created it meanwhile
                raise ProviderError(f"failed to create remote directory {path}: {_reason(error)}") from error

    def _is_directory(self, path: str) -> bool:
        mode = self._mode(path)
        return mode is not None and stat.S_ISDIR(mode)

    def _mode(self, path: str) -> int | None:
        try:
            return self._sftp.stat(path).st_mode
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ProviderError(f"failed to stat remote path {path}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).lower() or ("EOF" if isinstance(error, EOFError) else type(error).__name__)
