"""Ports and processes: checks for free ports, waits for servers, stops child processes by pid."""

import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil

from dag.errors import UserError


def check_port(address: str, port: int, option: str) -> None:
    """Raise an error unless a server can listen on `port`.

    Raises:
        UserError: the port is taken (the text names the process, if it is known), or the address is not of this host.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except (OSError, OverflowError) as error:
            got = listening_process(port) or error
            do = f"choose another with {option}"
            raise UserError("port is taken", where=f"{address}:{port}", got=got, do=do) from None


def listening_process(port: int) -> str | None:
    """The process that listens on `port`, as "process 123 (name)"; None if there is none or it may not be read."""
    try:
        listening = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        pids = [each.pid for each in listening if each.laddr and each.laddr[1] == port and each.pid]
        process = psutil.Process(next(iter(pids)))
        return f"process {process.pid} ({process.name()})"
    except (psutil.Error, StopIteration):
        return None


def free_port(address: str) -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def wait_for_port(address: str, port: int, process: psutil.Process, seconds: float) -> bool:
    """Whether `process` accepts connections within `seconds`; False as soon as it has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and is_running(process):
        try:
            socket.create_connection((address, port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def is_running(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop(process: psutil.Process, seconds: float = 10.0) -> None:
    """Stop a process with SIGTERM and, if it still runs after `seconds`, with SIGKILL; it may have ended before."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        end = time.monotonic() + seconds
        while is_running(process) and time.monotonic() < end:
            time.sleep(0.02)
        if not is_running(process):
            break
    if isinstance(process, psutil.Popen):
        process.wait(seconds)  # reaps the child


def tail(path: Path) -> str:
    """Last line of a log, at most 300 characters; empty if there is no log."""
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    return next((line[-300:] for line in reversed(lines) if line.strip()), "")
