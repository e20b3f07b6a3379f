"""The client of Secateur, pruning as a service.

    from secateur import Client

    job = Client().prune(model, data, example_inputs=x, flops_reduction=0.6, preset="quick")
    job.wait()
    job.apply(model)             # your own module, smaller
    print(job.report)

:class:`Client` waits where it stands, :class:`AsyncClient` runs on an event loop; both have the same methods.
"""

from . import errors, wire
from .async_client import AsyncClient
from .async_job import AsyncJob
from .client import Client
from .errors import (
    ApiError,
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    DownloadDamaged,
    HandWrittenSize,
    InvalidRequest,
    JobCancelled,
    JobError,
    JobFailed,
    MissingPackage,
    ModuleMismatch,
    NotFound,
    OutputMismatch,
    PermissionDenied,
    RateLimited,
    SecateurError,
    ServerError,
    SurgeryError,
    UploadChanged,
    UsageError,
    WaitTimeout,
)
from .events import Event
from .job import Job
from .report import Frontier, Report
from .retry import Retries

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "AuthenticationError",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "DownloadDamaged",
    "Event",
    "Frontier",
    "HandWrittenSize",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "MissingPackage",
    "ModuleMismatch",
    "NotFound",
    "OutputMismatch",
    "PermissionDenied",
    "RateLimited",
    "Report",
    "Retries",
    "SecateurError",
    "ServerError",
    "SurgeryError",
    "UploadChanged",
    "UsageError",
    "WaitTimeout",
    "__version__",
    "errors",
    "wire",
]
