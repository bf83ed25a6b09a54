"""Who does the work: processes of this machine, or a Dask cluster. What comes out is the same."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar

import cv2
from joblib import Parallel, delayed, parallel_config

from dag.errors import UserError
from dag.stage import progress

T = TypeVar("T")

WINDOW = 16
"""Tasks a worker that are under way at once: bounds memory."""

TIMEOUT = 5
"""Seconds after which a cluster that does not answer is given up."""


class Workers:
    """Shares tasks out and gives their results back in order.

    Args:
        count: processes; 0 or 1 is this one. A cluster has its own number.
        backend: "loky" (processes here) or "dask".
        cluster: address of a Dask scheduler, e.g. "tcp://127.0.0.1:8786". Its workers must see the same folders under
            the same names and have this package installed.
    """

    def __init__(self, count: int, backend: str = "loky", cluster: str | None = None):
        self.count, self.backend, self.cluster = count, backend, cluster

    def map(self, function: Callable[..., T], tasks: Sequence[tuple], description: str) -> Iterator[T]:
        """`function(*task)` of each task, in the order of `tasks`, with a progress bar; memory does not grow with them.

        Raises:
            UserError: the cluster does not answer. Errors of tasks come through.
        """
        if self.backend == "loky" and self.count <= 1:
            yield from progress((function(*task) for task in tasks), description, total=len(tasks))
            return
        with self._parallel() as (parallel, count):
            step = WINDOW * count
            windows: Any = (
                parallel(delayed(_alone)(function, task) for task in tasks[start : start + step])
                for start in range(0, len(tasks), step)
            )
            yield from progress(chain.from_iterable(windows), description, total=len(tasks))

    @contextmanager
    def _parallel(self) -> Iterator[tuple[Parallel, int]]:
        if self.backend == "loky":
            with (
                parallel_config(backend="loky", inner_max_num_threads=1),
                Parallel(n_jobs=self.count, return_as="generator") as parallel,
            ):
                yield parallel, self.count
            return
        with _client(self.cluster) as client, parallel_config(backend="dask", client=client):
            count = max(len(client.scheduler_info(n_workers=-1)["workers"]), 1)
            with Parallel(n_jobs=-1, return_as="generator") as parallel:
                yield parallel, count


def _alone(function: Callable[..., T], task: tuple) -> T:
    """OpenCV's threads would only take the other workers' cores."""
    cv2.setNumThreads(1)
    return function(*task)


@contextmanager
def _client(cluster: str | None) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise UserError("dask is not installed", do="pip install 'dag-pose[dask]'") from None
    if cluster is None:
        raise UserError("no cluster", expected="an address in engine.cluster", do="start `dask scheduler`")
    try:
        client = Client(cluster, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        do = "start `dask scheduler` and `dask worker`, or set engine.backend: loky"
        raise UserError("the cluster does not answer", where=cluster, got=error, do=do) from None
    with client:
        yield client
