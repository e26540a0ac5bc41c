import os

os.environ["BENCH_OFFLINE"] = "1"  # no test waits for a network that is not there

import pytest
from jaxtyping import install_import_hook

# before anything imports them: shapes in annotations are then checked at every call
install_import_hook(["estimators", "models"], "_typecheck.checker")


@pytest.fixture(autouse=True)
def _two_threads():
    """Tests run side by side: more threads than cores makes all of them slow."""
    import torch

    torch.set_num_threads(1)
