"""Every error the pipeline raises on purpose, in one tree.

::

    PipelineError
    ├── UsageError                  wrong arguments or settings; exit status 2
    │   ├── UnknownResource
    │   ├── SettingsError
    │   └── SandboxRefused          sandbox data offered to a database that is not the embedded one
    ├── SourceError                 an upstream API did not give what was asked; exit status 1
    │   ├── SourceUnreachable       no connection, or none that lasts
    │   ├── SourceRefused           401 or 403: token, client id, date form or privacy rule
    │   ├── SourceNotFound          404: an unknown type or record
    │   ├── SourceThrottled         told to wait longer than our patience
    │   └── SourceProtocolError     an answer that is not what the API is known to give
    ├── WarehouseError              PostgreSQL did not do what was asked; exit status 1
    │   ├── DatabaseUnreachable
    │   ├── MigrationsMissing
    │   └── SyncAlreadyRunning      another process holds the resource's lock
    └── TooManyRejections           more records rejected than the set share

Each message says what happened, to which resource and record, and what to do. `code` is stable and goes
into ``vantage_sync_state.errors``.
"""

from __future__ import annotations


class PipelineError(Exception):
    """Base of every deliberate error. `exit_status` is what the command line ends with."""

    code = "PIPELINE_ERROR"
    exit_status = 1


class UsageError(PipelineError):
    code = "USAGE"
    exit_status = 2


class UnknownResource(UsageError):
    code = "UNKNOWN_RESOURCE"


class SettingsError(UsageError):
    code = "SETTINGS"


class SandboxRefused(UsageError):
    code = "SANDBOX_REFUSED"


class SourceError(PipelineError):
    code = "SOURCE_ERROR"


class SourceUnreachable(SourceError):
    code = "API_UNREACHABLE"


class SourceRefused(SourceError):
    code = "API_UNAUTHORIZED"


class SourceNotFound(SourceError):
    code = "API_NOT_FOUND"


class SourceThrottled(SourceError):
    """The API asked for a longer pause than we grant. `retry_after` is in seconds."""

    code = "API_THROTTLED"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceProtocolError(SourceError):
    code = "API_PROTOCOL"


class WarehouseError(PipelineError):
    code = "DATABASE_ERROR"


class DatabaseUnreachable(WarehouseError):
    code = "DATABASE_UNREACHABLE"


class MigrationsMissing(WarehouseError):
    code = "MIGRATIONS_MISSING"


class SyncAlreadyRunning(WarehouseError):
    code = "SYNC_ALREADY_RUNNING"


class TooManyRejections(PipelineError):
    code = "TOO_MANY_REJECTIONS"
