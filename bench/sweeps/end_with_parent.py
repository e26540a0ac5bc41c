"""To import is to end with the process that started this one, at once, where the system can do that (Linux).

For the server that workers are forked from: it ends with its command anyway, but not in the middle of its imports, and
until then whoever reads the command's output through a pipe would wait.
"""

import contextlib
import ctypes
import signal

_PR_SET_PDEATHSIG = 1

with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
