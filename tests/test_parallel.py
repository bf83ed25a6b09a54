"""Parallel tasks in local processes: order, memory, errors. tests/test_cluster.py has the clusters."""

import os
import signal
import socket
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from dag.errors import UserError
from dag.parallel import WINDOW, Workers


def _square(number: int) -> int:
    time.sleep(0.02 * (number % 3 == 0))
    return number**2


def _threads() -> tuple[int, set[int]]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return cv2.getNumThreads(), {library["num_threads"] for library in threadpool_info()}


def _refuse(number: int) -> int:
    if number == 3:
        raise UserError("three", got=number)
    return number


def _die(number: int) -> None:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_results_are_in_order(count: int) -> None:
    tasks = [(number,) for number in range(100)]
    assert list(Workers(count).map(_square, tasks, "squares")) == [number**2 for number in range(100)]
    assert list(Workers(count).map(_square, [], "nothing")) == []


def test_tasks_are_consumed_a_few_at_a_time() -> None:
    made = 0

    def tasks() -> Iterator[tuple]:
        nonlocal made
        for number in range(200):
            made += 1
            yield (number,)

    for count in (1, 2):
        made = 0
        for done, _ in enumerate(Workers(count).map(_square, tasks(), "squares", 200)):
            assert made <= done + WINDOW * count + 1
        assert made == 200


def test_workers_use_one_thread_each() -> None:
    for opencv, others in Workers(2).map(_threads, [()] * 4, "threads"):
        assert opencv == 1
        assert others <= {1}


@pytest.mark.parametrize("count", [1, 2])
def test_errors_of_tasks_are_passed_on(count: int) -> None:
    with pytest.raises(UserError, match=r"^three: got 3$"):
        list(Workers(count).map(_refuse, [(number,) for number in range(9)], "numbers"))


def test_results_may_be_closed_early() -> None:
    results = Workers(2).map(_square, [(number,) for number in range(100)], "squares")
    assert next(results) == 0
    results.close()
    assert list(Workers(2).map(_square, [(3,)], "squares")) == [9]


def test_killed_process_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^a worker process was killed; set engine\.workers lower if memory ran out"):
        list(Workers(2).map(_die, [(number,) for number in range(9)], "numbers"))
    assert list(Workers(2).map(_square, [(3,)], "squares")) == [9]


@pytest.mark.parametrize("cluster", [None, "", "localhost", "127.0.0.1:8786", "tcp://127.0.0.1", "nonsense"])
def test_invalid_addresses_are_refused(cluster: str | None) -> None:
    with pytest.raises(UserError, match=r"^engine\.cluster: no cluster: expected tcp://host:port, got "):
        list(Workers(2, "dask", cluster).map(_square, [(3,)], "squares"))


def test_an_unreachable_cluster_fails_before_any_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dag.parallel.TIMEOUT", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    started, consumed = time.monotonic(), []
    tasks = ((number,) for number in range(9) if not consumed.append(number))
    with pytest.raises(UserError, match=rf"^{address}: the cluster does not answer: got .*; start `dask scheduler`"):
        list(Workers(2, "dask", address).map(_square, tasks, "squares"))
    assert time.monotonic() - started < 10
    assert not consumed
