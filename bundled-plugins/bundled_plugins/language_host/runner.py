"""Runs one Python program for the engine, inside that program's own interpreter.

Started as a file by the language host: the interpreter may be of another environment and an older Python (3.9),
so this file needs the standard library and public names of ``pulumi`` only.

    runner.py LIFELINE program [settings] ENTRY [ARGUMENT...]   a Pulumi program; config comes in the environment
    runner.py LIFELINE module NAME [ARGUMENT...]                like ``python -m NAME``

LIFELINE is the descriptor of a pipe: its end means that the language host is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

#: "The program failed and has reported it": the language host adds nothing.
EXIT_REPORTED = 32

#: ``--parallel`` may be "unlimited", a number no pool of threads should take literally.
MAX_THREADS = 1024


def main() -> None:
    lifeline, mode, arguments = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    # This file's neighbors must not be importable: a program may have modules of the same names.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _directory_of(__file__)]
    _die_with_host(lifeline)
    if mode == "program":
        run_program(arguments)
    else:
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def _die_with_host(lifeline: int) -> None:
    def watch() -> None:
        os.read(lifeline, 1)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    if os.getpgrp() == os.getpid():
        threading.Thread(target=watch, name="lifeline", daemon=True).start()


def run_program(arguments: list[str]) -> NoReturn:
    """Run a Pulumi program to its end and exit: 0, the code it chose itself, or ``EXIT_REPORTED``."""
    # The engine interrupts a program that waits for its end; a traceback of that is noise.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        import pulumi
        import pulumi.runtime
    except ImportError as error:
        print(
            f"cannot import the package 'pulumi' with {sys.executable}: {error}\n"
            f"Install it with `{sys.executable} -m pip install pulumi`, or name the program's virtual environment "
            "in Pulumi.yaml: `runtime: {name: python, options: {virtualenv: DIRECTORY}}`.",
            file=sys.stderr,
        )
        sys.exit(1)

    settings = _parse(arguments)
    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=settings.project,
            stack=settings.stack,
            monitor=settings.monitor,
            engine=settings.engine,
            parallel=settings.parallel,
            dry_run=settings.dry_run,
            organization=settings.organization,
            root_directory=settings.root_directory,
        )
    )
    os.chdir(settings.pwd)
    entry = _main_file(settings.entry)
    directory = _directory_of(settings.entry)
    sys.argv = [settings.entry, *settings.arguments]
    sys.path.insert(0, str(directory))

    def run_user_code() -> None:
        if not entry.exists():
            raise pulumi.RunError(
                f"there is no Python program: {entry} does not exist; write it, or set 'main' in Pulumi.yaml"
            )
        runpy.run_path(str(entry), run_name="__main__")

    loop = _new_loop(settings.parallel)
    origins = Origins(loop)
    code = 0
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(run_user_code))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        code = EXIT_REPORTED
    except Exception as error:  # noqa: BLE001 - whatever the program raised is reported here
        pulumi.log.error(f"Program failed with an unhandled exception:\n{render_for_user(error, directory, origins)}")
        code = EXIT_REPORTED
    finally:
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    sys.exit(code)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="runner.py program")
    for name in ("monitor", "engine", "project", "stack", "organization", "root-directory", "pwd"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("entry")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def _new_loop(parallel: int) -> asyncio.AbstractEventLoop:
    # The SDK leaves tasks behind when the engine shuts down; asyncio's warnings about them are noise.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_default_executor(ThreadPoolExecutor(max_workers=min(max(4 * parallel, 4), MAX_THREADS)))
    return loop


def _main_file(entry: str) -> Path:
    return _directory_of(entry) / "__main__.py" if Path(entry).is_dir() else Path(entry).absolute()


def _directory_of(entry: str) -> Path:
    path = Path(entry).resolve()
    return path if path.is_dir() else path.parent


class Origins:
    """Where each error of a loop's tasks was raised first.

    A task of CPython 3.11 gives its error's traceback to the first who awaits it and none to the others.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tracebacks: dict[int, tuple[BaseException, TracebackType | None]] = {}
        loop.set_task_factory(self._task)

    def of(self, error: BaseException) -> TracebackType | None:
        return self._tracebacks.get(id(error), (error, None))[1]

    def _task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(self._remembering(coroutine), loop=loop, **options)

    async def _remembering(self, coroutine: Any) -> Any:
        try:
            return await coroutine
        except Exception as error:
            self._tracebacks.setdefault(id(error), (error, error.__traceback__))
            raise


def render_for_user(error: BaseException, directory: Path, origins: Origins | None = None) -> str:
    """The traceback from the first frame of the program below ``directory`` on, for the error and all its causes.

    An error without such a frame is shown from where it was raised first, if that is known; else it keeps its whole
    traceback, but for a program that does not even compile.
    """
    rendered = traceback.TracebackException.from_exception(error)
    origin = origins.of(error) if origins else None
    if origin and not any(_is_of_program(frame.filename, directory) for frame in rendered.stack):
        rendered = traceback.TracebackException(type(error), error, origin)
    for each in _chain(rendered):
        for index, frame in enumerate(each.stack):
            if _is_of_program(frame.filename, directory):
                del each.stack[:index]
                break
        else:
            if isinstance(error, SyntaxError) and _is_of_program(error.filename or "", directory):
                del each.stack[:]
    return "".join(rendered.format())


def _chain(rendered: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    yield rendered
    for each in (rendered.__cause__, rendered.__context__, *(getattr(rendered, "exceptions", None) or [])):
        if each is not None:
            yield from _chain(each)


def _is_of_program(filename: str, directory: Path) -> bool:
    """Names like ``<frozen runpy>`` are no files; an environment inside the program's directory is not the program."""
    if filename.startswith("<"):
        return False
    parents = Path(filename).resolve().parents
    return directory in parents and Path(sys.prefix).resolve() not in parents


if __name__ == "__main__":
    main()
