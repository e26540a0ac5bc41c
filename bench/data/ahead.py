"""Reading ahead in threads: Pillow and zlib let go of the interpreter while they decode."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from bench.machine.devices import cores

T = TypeVar("T")
R = TypeVar("R")


def workers() -> int:
    """Threads to decode with: the cores this process may use, at most 16."""
    return min(16, cores())


def map_ahead(work: Callable[[T], R], batches: Iterable[Sequence[T]], ahead: int = 2) -> Iterator[list[R]]:
    """`work` done on every item of every batch, in order, `ahead` batches before they are asked for.

    `batches` is therefore consumed up to `ahead` batches early. What `work` raises is raised here.
    """
    threads = workers()
    pool = ThreadPoolExecutor(threads)
    under_way: deque[list[Future[list[R]]]] = deque()

    def start(batch: Sequence[T]) -> list[Future[list[R]]]:
        # A task per thread, not per item: tiny images decode faster than threads hand over the interpreter.
        size = max(1, -(-len(batch) // threads))
        parts = [batch[first : first + size] for first in range(0, len(batch), size)]
        return [pool.submit(lambda part: [work(item) for item in part], part) for part in parts]

    def finish(parts: list[Future[list[R]]]) -> list[R]:
        return list(chain.from_iterable(part.result() for part in parts))

    try:
        for batch in batches:
            under_way.append(start(batch))
            if len(under_way) > ahead:
                yield finish(under_way.popleft())
        while under_way:
            yield finish(under_way.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
