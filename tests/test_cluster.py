"""A Dask cluster of two workers, one of which is killed during the work, gives the same bytes as one process."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client

from dag.annotation import write_annotations
from dag.errors import UserError
from dag.parallel import Workers
from dag.parsing.mask_parser import MaskParser
from dag.pool.build import build_pool
from dag.relabel.apply import apply_candidates
from dag.relabel.candidates import write_candidates
from dag.relabel.relabel import relabel_persons
from dag.skeleton import COCO17
from tests.cache.test_build import _bytes, _cache
from tests.imports import ROOT
from tests.makers import make_toy_set
from tests.pool.test_build import persons_by_rejection, root  # noqa: F401, a fixture
from tests.pool.test_quality import LIMITS
from tests.relabel.scenes import MASKS_ONLY, persons_of_all_kinds


class Cluster:
    """A scheduler and two workers on the loopback interface, each a process, in another working directory."""

    def __init__(self, folder: Path):
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self._port}"
        self.workers: list[subprocess.Popen] = []
        self.scheduler = self._start("scheduler", "--port", str(self._port))

    def complete(self) -> None:
        """Start workers until there are two."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < 2:
            self.workers.append(self._start("worker", self.address, "--no-nanny", "--nthreads", "1"))
        with Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)

    def _start(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"], cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def close(self) -> None:
        """Kill all processes."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


class OneKilled(Workers):
    """Workers of a cluster; one of its two workers is killed after the first result."""

    def __init__(self, cluster: Cluster):
        super().__init__(0, "dask", cluster.address)
        self._victim = cluster.workers[0]

    def map(self, function: Callable, tasks: Iterable, description: str, total: int | None = None) -> Iterator:
        for number, result in enumerate(super().map(function, tasks, description, total)):
            if number == 0:
                self._victim.send_signal(signal.SIGKILL)
                assert self._victim.wait() == -signal.SIGKILL
            yield result


@pytest.fixture(scope="module")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("elsewhere"))
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(running_cluster: Cluster) -> Cluster:
    running_cluster.complete()
    return running_cluster


def test_cache(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With relative paths: the workers are in another working directory."""
    monkeypatch.chdir(tmp_path)
    make_toy_set(tmp_path, images=60)
    _cache(tmp_path, "one")
    _cache(Path(), "cluster", workers=OneKilled(cluster))
    assert _bytes(tmp_path / "cluster") == _bytes(tmp_path / "one")
    assert len(_bytes(tmp_path / "one")) == 61
    assert {path.name for path in tmp_path.iterdir()} == {
        "one",
        "cluster",
        "annotations.parquet",
        "images",
        "pool.arrow",
    }


def test_pool(
    cluster: Cluster,
    tmp_path: Path,
    root: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    persons = [
        replace(person, person_id=100 * copy + person.person_id, image_path=f"{copy}/{person.image_path}")
        for copy in range(12)
        for image_persons in persons_by_rejection().values()
        for person in image_persons
    ]
    for copy in range(12):
        (tmp_path / str(copy)).symlink_to(root)
    for name, workers in (("one", Workers(1)), ("cluster", OneKilled(cluster))):
        path = tmp_path / name
        qualities = build_pool(path, persons, ".", MaskParser(), COCO17, **LIMITS, workers=workers)
        assert sum(quality.rejection is None for quality in qualities) == 12
    assert (tmp_path / "cluster").read_bytes() == (tmp_path / "one").read_bytes()


def test_relabel(cluster: Cluster, tmp_path: Path) -> None:
    persons = [
        replace(person, image_id=10 * copy + person.image_id, person_id=1000 * copy + person.person_id)
        for copy in range(100)
        for person in persons_of_all_kinds()
    ]
    files = []
    for workers in (Workers(1), OneKilled(cluster)):
        candidates = relabel_persons(persons, COCO17, MASKS_ONLY, margin=2.0, min_confidence=0.8, workers=workers)
        write_annotations(tmp_path / "annotations", apply_candidates(persons, candidates, COCO17), COCO17)
        write_candidates(tmp_path / "queue", candidates)
        files.append([(tmp_path / name).read_bytes() for name in ("annotations", "queue")])
    assert files[0] == files[1]


def _sleep(number: int) -> int:
    time.sleep(0.1)
    return number


def _refuse(number: int) -> None:
    raise UserError("no", got=number)


def test_errors_of_tasks_are_passed_on(cluster: Cluster) -> None:
    with pytest.raises(UserError, match=r"^no: got 7$"):
        list(Workers(0, "dask", cluster.address).map(_refuse, [(7,)], "numbers"))


def test_cluster_without_workers_is_an_error_after_the_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dag.parallel.TIMEOUT", 1)
    cluster = Cluster(tmp_path)
    try:
        with Client(cluster.address, timeout=60, set_as_default=False):
            started = time.monotonic()
        with pytest.raises(UserError, match=rf"^{cluster.address}: the cluster has no workers; start `dask scheduler`"):
            list(Workers(0, "dask", cluster.address).map(_sleep, [(7,)], "numbers"))
        assert time.monotonic() - started < 10
    finally:
        cluster.close()


def test_cluster_that_dies_is_an_error(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    try:
        cluster.complete()
        results = Workers(0, "dask", cluster.address).map(_sleep, [(number,) for number in range(99)], "numbers")
        assert next(results) == 0
        cluster.scheduler.kill()
        with pytest.raises(UserError, match=rf"^{cluster.address}: the cluster died: got .*; see the logs"):
            list(results)
    finally:
        cluster.close()
