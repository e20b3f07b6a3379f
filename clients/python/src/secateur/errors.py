"""What goes wrong, as exceptions; all of them are a :class:`SecateurError`.

An answer of the server that is not a success becomes an :class:`ApiError`, of the subclass that its status names. What the client
could not do by itself has a class of its own: :class:`ConnectionFailed`, :class:`JobFailed`, :class:`SurgeryError` and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import wire


class SecateurError(Exception):
    """Anything that this package raises by itself."""


class UsageError(SecateurError, ValueError):
    """Arguments that cannot be meant: two targets, a data set without samples, a model that is neither path nor module."""


class MissingPackage(SecateurError, ImportError):
    """A package is needed that is not installed; the message says which, and the extra that brings it."""


class ConnectionFailed(SecateurError, ConnectionError):
    """The server was not reached, or did not answer, however often it was tried; ``__cause__`` is the last failure."""


class ApiError(SecateurError):
    """An answer that is not a success, an RFC 9457 problem document.

    Attributes:
        status: The HTTP status, such as 422.
        code: What a program should look at, such as ``invalid_spec``; stable.
        title: What the code means, in words.
        detail: What was wrong with this request, and what is allowed; a sentence.
        field: The field of the spec, the node of the graph, the tensor or the record of the file that is at fault.
        hint: What to do about it.
        retry_after: Seconds after which the server asks to try again.
        members: What else the document says, such as ``quota`` or ``jobs``.
        request_id: What the server's log calls the request.
    """

    def __init__(
        self,
        status: int,
        problem: Mapping[str, Any],
        *,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        self.status = status
        self.code: str = str(problem.get("code", "unknown"))
        self.title: str = str(problem.get("title", ""))
        self.detail: str = str(problem.get("detail", ""))
        self.field: str | None = problem.get("node")
        self.hint: str | None = problem.get("hint")
        self.retry_after = retry_after
        self.request_id = request_id
        usual = {"type", "code", "title", "status", "detail", "node", "hint"}
        self.members: dict[str, Any] = {name: value for name, value in problem.items() if name not in usual}
        super().__init__(_sentence(f"{self.detail or self.title} ({self.code}, {status})", self.field, self.hint))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (type(self), self.__dict__.copy(), self.args))


class InvalidRequest(ApiError):
    """400, 413, 415, 422 and their like: the spec, the file or a parameter is not what the server takes."""


class AuthenticationError(ApiError):
    """401: the key is missing or not in force."""


class PermissionDenied(ApiError):
    """403: the key does not allow this."""


class NotFound(ApiError):
    """404 and 410: there is no such job, model, data set or artifact, or there is none any more."""


class Conflict(ApiError):
    """409 and 423: not in this state, such as to delete a job that runs."""


class RateLimited(ApiError):
    """429: too many requests, or a quota is used up; ``retry_after`` says when to come back, if waiting helps."""


class ServerError(ApiError):
    """5xx: the server cannot do it now, or failed."""


class JobError(SecateurError):
    """A job did not succeed; ``job`` is what the server last said of it."""

    def __init__(self, message: str, job: wire.Job) -> None:
        super().__init__(message)
        self.job = job

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (type(self), self.__dict__.copy(), self.args))


class JobFailed(JobError):
    """A job ended with an error: ``code``, ``detail``, ``field`` and ``hint`` as in :class:`ApiError`, and the ``stage`` it was in."""

    def __init__(self, job: wire.Job) -> None:
        found = job.get("error")
        error: Mapping[str, Any] = found if found is not None else {}
        self.code: str = str(error.get("code", "unknown"))
        self.title: str = str(error.get("title", ""))
        self.detail: str = str(error.get("detail", ""))
        self.stage: str = str(error.get("stage", job["stage"]))
        self.field: str | None = error.get("node")
        self.hint: str | None = error.get("hint")
        what = f"{job['id']} failed in the stage `{self.stage}`: {self.detail or self.title} ({self.code})"
        super().__init__(_sentence(what, self.field, self.hint), job)


class JobCancelled(JobError):
    """A job was cancelled; what it had found so far is still there."""

    def __init__(self, job: wire.Job) -> None:
        super().__init__(f"{job['id']} was cancelled", job)


class WaitTimeout(SecateurError, TimeoutError):
    """A job had not ended when the time for waiting was over; it goes on."""


class UploadChanged(SecateurError):
    """What is uploaded changed on its way, so that it cannot be gone on with."""


class DownloadDamaged(SecateurError):
    """A downloaded file does not have the SHA-256 that the server says."""


class SurgeryError(SecateurError):
    """`apply` could not make of a module what the job made of its TorchScript; the module is as it was.

    Attributes:
        module: The dotted name of the submodule where it shows; empty for the module itself.
    """

    def __init__(self, message: str, module: str = "") -> None:
        super().__init__(message)
        self.module = module

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (type(self), self.__dict__.copy(), self.args))


class ModuleMismatch(SurgeryError):
    """The module is not the one that the job pruned: names or shapes of its tensors differ from the original's."""


class HandWrittenSize(SurgeryError):
    """The Python code has a size written in by hand, or one that `apply` cannot find, which had to follow the channels.

    Attributes:
        module: The submodule whose code it is.
        file: Path of the Python file, where it is known.
        line: Line in that file.
        source: The text of the line.
        sizes: The sizes that the program of this submodule had to change, ``(operator, before, after)``.
    """

    def __init__(
        self,
        message: str,
        module: str,
        *,
        file: str | None = None,
        line: int | None = None,
        source: str | None = None,
        sizes: tuple[tuple[str, str, str], ...] = (),
    ) -> None:
        super().__init__(message, module)
        self.file, self.line, self.source, self.sizes = file, line, source, sizes


class OutputMismatch(SurgeryError):
    """The module runs with its new tensors, and computes something else than the TorchScript that the job wrote.

    Attributes:
        difference: Largest difference between elements of the two outputs.
        tolerance: The most that it may be.
    """

    def __init__(self, message: str, module: str, *, difference: float, tolerance: float) -> None:
        super().__init__(message, module)
        self.difference, self.tolerance = difference, tolerance


def of_answer(
    status: int, problem: Mapping[str, Any], *, retry_after: float | None = None, request_id: str | None = None
) -> ApiError:
    """The exception for an answer with this status and problem document."""
    return _class_of(status)(status, problem, retry_after=retry_after, request_id=request_id)


def _class_of(status: int) -> type[ApiError]:
    by_status: dict[int, type[ApiError]] = {
        401: AuthenticationError,
        403: PermissionDenied,
        404: NotFound,
        409: Conflict,
        410: NotFound,
        423: Conflict,
        429: RateLimited,
    }
    if status >= 500:
        return ServerError
    return by_status.get(status, InvalidRequest if status >= 400 else ApiError)


def _sentence(what: str, field: str | None, hint: str | None) -> str:
    parts = [what, *([f"at: {field}"] if field else []), *([f"hint: {hint}"] if hint else [])]
    return "\n".join(parts)


def _rebuilt(kind: type[SecateurError], attributes: dict[str, Any], arguments: tuple[Any, ...]) -> SecateurError:
    """Unpickles an exception whose ``__init__`` takes other arguments than its message."""
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(attributes)
    return error
