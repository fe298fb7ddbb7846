"""Environment to typed, frozen settings. Secrets are `SecretStr`: they never print.

Fixed names (``DATABASE_URL``, ``VANTAGE_*``, ``BUBBLE_*``, ``ALERT_URLS``) stand as they are; everything else
is ``VANTAGE_PIPELINE_<NAME>``. All are also read from ``.env`` in the project's folder, the environment first.
"""

from __future__ import annotations

import os
import re
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vantage_pipeline.errors import SettingsError

System = Literal["vantage", "bubble"]
_PREFIX = "VANTAGE_PIPELINE_"
_DAY_HOURS = 24.0
_SWITCHES = ("true", "false", "1", "0", "yes", "no", "on", "off")
_SHORTEST_MASKED = 4
"""Shorter secrets are not masked: replacing every 'a' would hide the message, not the secret."""


def project_root() -> Path:
    """The folder that holds ``dagster.yaml`` and ``.vantage/``.

    ``VANTAGE_PIPELINE_HOME`` if set, else the checkout the package lies in, else the working folder.
    """
    named = os.environ.get(f"{_PREFIX}HOME")
    if named:
        return Path(named).resolve()
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "dagster.yaml").is_file() else Path.cwd()


def sql_dir() -> Path:
    """The folder with ``migrations/`` and ``queries/``, in a checkout or inside an installed package."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "sql"
    return checkout if checkout.is_dir() else package / "_sql"


class Settings(BaseSettings):
    """What the environment says. One field a setting; the description is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    database_url: SecretStr | None = Field(
        None, validation_alias="DATABASE_URL", description="PostgreSQL to write to; unset: the embedded one"
    )
    vantage_api_base_url: str | None = Field(None, validation_alias="VANTAGE_API_BASE_URL")
    vantage_auth_token: SecretStr | None = Field(None, validation_alias="VANTAGE_AUTH_TOKEN")
    vantage_client_id: SecretStr | None = Field(None, validation_alias="VANTAGE_CLIENT_ID")
    bubble_api_base_url: str | None = Field(
        None, validation_alias="BUBBLE_API_BASE_URL", description="up to and including /api/1.1"
    )
    bubble_api_token: SecretStr | None = Field(None, validation_alias="BUBBLE_API_TOKEN")
    alert_urls: SecretStr | None = Field(None, validation_alias="ALERT_URLS", description="Apprise URLs")

    state_dir: Path | None = Field(
        None, description="where the embedded server and lock files live; unset: .vantage/ in the project"
    )
    dagster_database_url: SecretStr | None = Field(
        None, description="Dagster's own storage; unset: database 'dagster' beside the data"
    )
    sandbox: bool = Field(False, description="set by demo and dev while they serve made-up data themselves")
    timezone: str = Field("UTC", description="zone of the APIs' times that carry none")
    overlap_seconds: int = Field(300, ge=0, description="how far before the reading's start the watermark lies")
    page_size: int = Field(500, ge=1, le=10_000, description="records a page asked of Vantage")
    concurrency: int = Field(4, ge=1, le=64, description="pages or windows in flight at once")
    connect_timeout: float = Field(10, gt=0, description="seconds")
    read_timeout: float = Field(60, gt=0, description="seconds without a byte")
    response_timeout: float = Field(300, gt=0, description="seconds for one whole response")
    max_attempts: int = Field(6, ge=1, description="tries of one request")
    max_attempts_of: dict[System, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="tries of one request, by system, where not max_attempts; as JSON"
    )
    backoff_seconds: float = Field(0.5, ge=0, description="first pause between tries; doubles, with jitter")
    backoff_seconds_of: dict[System, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="first pause, by system, where not backoff_seconds; as JSON"
    )
    patience_seconds: float = Field(120, ge=0, description="longest Retry-After that is waited for")
    max_response_bytes: int = Field(64 * 2**20, gt=0)
    max_record_bytes: int = Field(8 * 2**20, gt=0)
    max_nesting: int = Field(32, gt=0)
    bubble_requests_per_minute: int = Field(1000, ge=1, description="the app's plan")
    bubble_budget_share: float = Field(0.8, gt=0, le=1, description="share of the plan that we use")
    bubble_start_date: date = Field(date(2026, 1, 1), description="first day of the Bubble partitions")
    full_marks_days: int = Field(31, ge=1, description="days marked materialized after a full Bubble reading")
    batch_records: int = Field(10_000, ge=1, description="records in one transaction")
    max_rejected_share: float = Field(0.01, ge=0, le=1)
    max_rejected_records: int = Field(10, ge=0, description="rejections that never fail a sync")
    clear_guard_share: float = Field(0.9, ge=0, le=1, description="share of a column's values cleared at once")
    clear_guard_records: int = Field(10, ge=1, description="fewest values whose clearing is held back")
    delete_guard_share: float = Field(0.05, ge=0, le=1, description="share of rows marked deleted at once")
    delete_guard_records: int = Field(10, ge=0, description="deletions that are never held back")
    lock_wait_seconds: float = Field(0, ge=0, description="how long a second sync of a resource waits")
    table_lock_seconds: float = Field(
        30, gt=0, description="how long a transaction waits for rows or tables that others hold; it is tried four times"
    )
    expected_hours: dict[str, float] = Field(
        default_factory=dict, description="hours between syncs, by resource, where not a day; as JSON"
    )
    history_days: int | None = Field(
        None, ge=30, description="days after which syncs leave the history; unset: they never do"
    )
    notify_success: bool = Field(False, description="tell the channels of ALERT_URLS of each sync that succeeded")
    schedule_cron: str = Field("0 0 * * *", description="the daily sync, in UTC")
    full_cron: str = Field("0 2 * * 6", description="the weekly sync of everything, which sees deletions, in UTC")
    verify_cron: str = Field("0 3 * * 0", description="the weekly verification against the sources, in UTC")
    change_history: Annotated[bool | tuple[str, ...], NoDecode] = Field(
        False, description="keep old and new values of changed mapped columns: true, or tables separated by commas"
    )
    ui_url: str = Field("http://127.0.0.1:3000", description="where people reach the Dagster UI, for links in alerts")
    code_url: str | None = Field(
        None,
        description="address of the source tree, for links from the UI",
        validation_alias=AliasChoices("VANTAGE_PIPELINE_CODE_URL"),
    )

    @field_validator("vantage_api_base_url", "bubble_api_base_url")
    @classmethod
    def _http_only(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// address")
        if parts.username or parts.password:
            raise ValueError("must not carry a user name or password")
        return value.rstrip("/")

    @field_validator("expected_hours")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if any(hours <= 0 for hours in value.values()):
            raise ValueError("must be more than 0 hours for each resource")
        return value

    @field_validator("change_history", mode="before")
    @classmethod
    def _switch_or_tables(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.strip().lower() in _SWITCHES:
            return value.strip()
        from vantage_pipeline import catalog  # 0.1 s that only those who name tables pay

        named = tuple(name.strip() for name in value.split(",") if name.strip())
        synced = {table for resource in catalog.RESOURCES for table in resource.tables}
        if unknown := sorted(set(named) - synced):
            raise ValueError(f"knows no table {', '.join(unknown)}; those are: {', '.join(sorted(synced))}")
        return named

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("is not a time zone name such as UTC or Asia/Kuala_Lumpur") from error
        return value

    def expected_every(self, resource: str, state: str) -> timedelta:
        """How often a resource is to be synced: by its asset's name, its state's, or once a day."""
        hours = self.expected_hours.get(resource, self.expected_hours.get(state, _DAY_HOURS))
        return timedelta(hours=hours)

    @property
    def embedded(self) -> bool:
        """Whether the data goes to the embedded server."""
        return self.database_url is None

    @property
    def configured_systems(self) -> tuple[System, ...]:
        """The systems whose base URL is set."""
        systems: list[System] = []
        if self.vantage_api_base_url:
            systems.append("vantage")
        if self.bubble_api_base_url:
            systems.append("bubble")
        return tuple(systems)

    @property
    def state_folder(self) -> Path:
        """The folder for the embedded server's data, sockets and lock files."""
        return self.state_dir if self.state_dir is not None else project_root() / ".vantage"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def require(self, system: System) -> None:
        """Raise `SettingsError` naming what `system` still lacks."""
        needed = {
            "vantage": ("vantage_api_base_url", "vantage_auth_token", "vantage_client_id"),
            "bubble": ("bubble_api_base_url", "bubble_api_token"),
        }[system]
        missing = [name.upper() for name in needed if getattr(self, name) is None]
        if missing:
            raise SettingsError(
                f"{system}: {', '.join(missing)} not set; put it in the environment or in .env "
                f"(or try the sandbox: vantage-pipeline demo)"
            )

    def secrets(self) -> tuple[str, ...]:
        """Every secret in clear, for the one place that masks them in messages."""
        found = [
            value.get_secret_value()
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), SecretStr)
        ]
        addresses = [word for text in found for word in text.split() if "://" in word]
        passwords = [urlsplit(address).password for address in addresses]
        alerts = self.alert_urls.get_secret_value().split() if self.alert_urls else []
        tokens = [token for address in alerts for token in _tokens(address)]
        return tuple(secret for secret in (*found, *addresses, *passwords, *tokens) if secret)

    def mask(self, text: str) -> str:
        """`text` with every secret replaced, for anything that leaves the process."""
        for secret in self.secrets():
            if len(secret) >= _SHORTEST_MASKED:
                text = text.replace(secret, "***")
        return text


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: a value does not fit; the message names the variable and never shows the value.
    """
    try:
        return Settings(_env_file=project_root() / ".env")  # type: ignore[call-arg]
    except ValidationError as error:
        lines = [
            f"{_variable(str(item['loc'][0]))}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError("; ".join(lines)) from None


def _tokens(address: str) -> list[str]:
    """What may be a secret in an alert URL: credentials stand in any of its parts, also where a host would."""
    _, _, rest = address.partition("://")
    parts = re.split(r"[/?&=:@]", rest)
    return [part for part in parts if "." not in part and (len(part) >= 16 or (len(part) >= 8 and not part.isalpha()))]


def _variable(location: str) -> str:
    return location if location.isupper() else f"{_PREFIX}{location.upper()}"
