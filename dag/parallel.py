"""Parallel execution by local processes or a Dask cluster, with the same results."""

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

import cv2
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dag.errors import UserError
from dag.stage import progress

T = TypeVar("T")

WINDOW = 16
"""Tasks per worker that are in flight at once. It bounds memory."""

TIMEOUT = 5
"""Seconds to wait for a cluster to answer and to have workers."""


class Workers:
    """Runs tasks in parallel and returns their results in order.

    A task of a cluster worker that died is run again by another worker: a task must write files atomically and give
    the same result every time.

    Args:
        count: number of processes; 0 or 1 runs the tasks in this process. A cluster has its own number of workers.
        backend: "loky" (local processes) or "dask".
        cluster: address of a Dask scheduler, e.g. "tcp://127.0.0.1:8786". Its workers must see the same folders under
            the same names and have this package installed.
    """

    def __init__(self, count: int, backend: str = "loky", cluster: str | None = None):
        self.count, self.backend, self.cluster = count, backend, cluster

    def map(
        self, function: Callable[..., T], tasks: Iterable[tuple], description: str, total: int | None = None
    ) -> Iterator[T]:
        """Yield `function(*task)` for each task, in the order of `tasks`, with a progress bar.

        `tasks` is consumed a few at a time, so memory does not grow with the number of tasks. `total` is that number
        if `tasks` has no length. A task should take at least a tenth of a second.

        Raises:
            UserError: the cluster does not answer, or a process died. Exceptions of tasks are passed on.
        """
        total = len(tasks) if isinstance(tasks, Sized) else total
        if total == 0:
            return
        in_process = self.backend == "loky" and self.count <= 1
        results = (function(*task) for task in tasks) if in_process else self._distributed(function, tasks)
        with closing(results):
            yield from progress(results, description, total=total)

    def _distributed(self, function: Callable[..., T], tasks: Iterable[tuple]) -> Generator[T, None, None]:
        with _loky(self.count) if self.backend == "loky" else _dask(self.cluster) as (parallel, count):
            remaining = iter(tasks)
            while window := list(islice(remaining, WINDOW * count)):
                # One tuple per task: joblib keeps large arguments on one worker and loses them when it dies.
                results: Any = parallel(delayed(_single_threaded)(function, task) for task in window)
                try:
                    yield from (result for result in results)
                except GeneratorExit:
                    with warnings.catch_warnings(action="ignore"):  # joblib warns of unfinished tasks
                        results.close()
                    raise


def _single_threaded(function: Callable[..., T], task: tuple) -> T:
    """Run a task with one OpenCV thread: more threads would compete with the other workers."""
    cv2.setNumThreads(1)
    return function(*task)


def _parallel(count: int) -> Parallel:
    one: Any = 1  # joblib annotates the batch size as str
    return Parallel(n_jobs=count, batch_size=one, return_as="generator")


@contextmanager
def _loky(count: int) -> Iterator[tuple[Parallel, int]]:
    config = parallel_config(backend="loky", inner_max_num_threads=1)
    try:
        with config, _parallel(count) as parallel:
            yield parallel, count
    except TerminatedWorkerError:
        do = "set engine.workers lower if memory ran out, and run the stage again"
        raise UserError("a worker process was killed", do=do) from None


@contextmanager
def _dask(cluster: str | None) -> Iterator[tuple[Parallel, int]]:
    try:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm.core import CommClosedError
    except ImportError:
        raise UserError("dask is not installed", do="pip install 'dag-pose[dask]'") from None
    with _client(cluster) as client:
        config = parallel_config(backend="dask", client=client)
        try:
            with config, _parallel(-1) as parallel:
                yield parallel, sum(client.ncores().values())
        except (KilledWorker, FutureCancelledError, CommClosedError) as error:
            raise UserError("the cluster died", where=cluster, got=error, do="see the logs of its workers") from None


@contextmanager
def _client(cluster: str | None) -> Iterator[Any]:
    """Client of a cluster that answers and has workers."""
    from distributed import Client

    address, do = urlsplit(cluster or ""), "start `dask scheduler` and `dask worker`, or set engine.backend: loky"
    if not (address.scheme and address.hostname and address.port):
        raise UserError("no cluster", where="engine.cluster", expected="tcp://host:port", got=repr(cluster), do=do)
    try:
        client = Client(cluster, timeout=TIMEOUT, set_as_default=False)
    except OSError as error:
        raise UserError("the cluster does not answer", where=cluster, got=error, do=do) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=TIMEOUT)
        except TimeoutError:
            raise UserError("the cluster has no workers", where=cluster, do=do) from None
        yield client
