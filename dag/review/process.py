"""Ports and processes: who holds a port, does it answer, and stopping what we started by its pid."""

import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil

from dag.errors import UserError


def check_port(address: str, port: int, option: str) -> None:
    """Make sure that `port` can be listened on.

    Raises:
        UserError: the port is taken (the text names the process, where the system tells) or the address is not ours.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except (OSError, OverflowError) as error:
            found = holder(port) or error
            do = f"choose another with {option}"
            raise UserError("port is taken", where=f"{address}:{port}", got=found, do=do) from None


def holder(port: int) -> str | None:
    """The process that listens on `port`, as "process 123 (name)"; None without such a process, or without permission to see it."""
    try:
        listening = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        pids = [each.pid for each in listening if each.laddr and each.laddr[1] == port and each.pid]
        found = psutil.Process(next(iter(pids)))
        return f"process {found.pid} ({found.name()})"
    except (psutil.Error, StopIteration):
        return None


def free_port(address: str) -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def wait_for_port(address: str, port: int, process: psutil.Process, seconds: float) -> bool:
    """Wait until `process` lets itself be connected to; False when it ended or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and is_running(process):
        try:
            socket.create_connection((address, port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def is_running(process: psutil.Process) -> bool:
    """True until the process has ended; one that ended and was not yet waited for counts as ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop(process: psutil.Process, seconds: float = 10.0) -> None:
    """Ask a process to end (SIGTERM), wait, and end it (SIGKILL) when it does not; fine if it has ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        end = time.monotonic() + seconds
        while is_running(process) and time.monotonic() < end:
            time.sleep(0.02)
        if not is_running(process):
            break
    if isinstance(process, psutil.Popen):
        process.wait(seconds)  # only its parent can clear away a process that has ended


def tail(path: Path) -> str:
    """Last line of a log, shortened; empty where there is no log."""
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    return next((line[-300:] for line in reversed(lines) if line.strip()), "")
