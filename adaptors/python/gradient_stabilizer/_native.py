"""Opens the native half of the package and turns its errors into Python's."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable

import torch

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_LIBRARY = os.path.join(_FOLDER, "libgradient_stabilizer.so")

try:
    torch.ops.load_library(_LIBRARY)
except OSError as error:
    raise ImportError(
        f"the native half of gradient_stabilizer does not load under torch {torch.__version__}: {error}. It is "
        "built for one version of torch: install the package again under the one that is used"
    ) from error

ops = torch.ops.gradient_stabilizer

# torch promises no binary compatibility between its minor versions; what loads may still crash.
if ops.built_for().split(".")[:2] != torch.__version__.split(".")[:2]:
    raise ImportError(
        f"gradient_stabilizer was built for torch {ops.built_for()} and this is {torch.__version__}: install the "
        "package again under the torch that is used"
    )

_PREFIX = "gradient_stabilizer:"
# Codes of include/gradstab/status.hpp; all others are states of affairs: RuntimeError.
_TYPES = {
    "invalid_argument": ValueError,
    "shape_mismatch": ValueError,
    "corrupt_data": ValueError,
    "version_mismatch": ValueError,
    "unsupported": TypeError,
}


def translated(error: RuntimeError) -> Exception:
    """The Python exception for an error of the native half; `error` itself if it is not one."""
    text = str(error)
    if not text.startswith(_PREFIX):
        return error
    code, message = text[len(_PREFIX) :].split(": ", 1)
    # torch may have added where the call came from.
    return _TYPES.get(code, RuntimeError)(message.split("\nException raised from", 1)[0])


class _Raised(threading.local):
    """The exception that a `NormMethod` has raised in this thread, while the native half passes on its message."""

    error: BaseException | None = None

    def take(self) -> BaseException | None:
        """Returns the error and clears it."""
        error, self.error = self.error, None
        return error


raised = _Raised()


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, with its errors translated."""
    raised.take()
    try:
        return function(*arguments)
    except RuntimeError as error:
        cause = raised.take()
        if cause is not None and not isinstance(cause, Exception):
            raise cause from None  # KeyboardInterrupt and its like
        raise translated(error) from cause


def repeated() -> RuntimeError:
    """What `Transform.step` of the native half raises too."""
    return RuntimeError(
        "the gradients are those that the last step has already transformed; transform them once between backward and "
        "the optimizer's step, or pass check_repeats=False where that is meant"
    )


def backends() -> list[str]:
    """The kernels that this machine can run, the fastest last; each is a value for `backend`."""
    return list(ops.supported_backends())
