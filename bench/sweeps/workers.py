"""The server that worker processes are forked from. Imports nothing heavy, so that its own imports begin at once."""

import multiprocessing
from multiprocessing import forkserver

# forked from a server that has the heavy imports and nothing else: a worker starts in milliseconds, and no lock or
# thread of this process is copied
CONTEXT = multiprocessing.get_context("forkserver")
_PRELOADED = (
    "bench.sweeps.end_with_parent",
    "bench.sweeps.executors.local",
    "torch._dynamo",
    "torchmetrics.functional.image",
    "torchvision.io",
)
"""What a run imports sooner or later, and would otherwise import anew every time."""


def warm_up() -> None:
    """Let the imports begin, while the caller has other things to do."""
    CONTEXT.set_forkserver_preload(list(_PRELOADED))
    forkserver.ensure_running()
