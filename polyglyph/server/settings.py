"""The server's settings: `POLYGLYPH_*` variables, which the flags of `polyglyph serve` set."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from polyglyph.contract.errors import StartupError
from polyglyph.contract.plan import PLAN_NAME_PATTERN

PREFIX = "POLYGLYPH_"
MIB = 1 << 20
SECRETS = ("admin_key", "store_url")
"""Settings whose values no text shows."""


def default_data_dir() -> Path:
    """Give `polyglyph` in the user's state folder (XDG base directories)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if Path(state).is_absolute():
        return Path(state) / "polyglyph"
    try:
        return Path.home() / ".local" / "state" / "polyglyph"
    except RuntimeError as error:
        raise StartupError("no home directory to keep plans in; name a folder with --data-dir") from error


def _read_flag(value: object) -> object:
    """Read a switch: the engine's processes know only `0` and `1`, so nothing else may mean something here."""
    if value not in (True, False, "0", "1"):
        raise ValueError("expected 0 or 1")
    return value in (True, "1")


Switch = Annotated[bool, BeforeValidator(_read_flag)]


class Settings(BaseSettings):
    """What the administrator chose.

    Attributes:
        admin_key: Opens what changes the server or reads others' stats; without it those routes are closed.
        data_dir: Folder of the store, unless `store_url` names another.
        store_url: PostgreSQL database that keeps plans, policy and sums, shared by several servers.
        policy: Policy file to start with; without it the policy kept in the store, if any.
        steering_default: What a request without a `steering` field gets: `off`, `auto` or a plan's name.
        inline_edits: Whether requests may carry their own edits.
        max_body_bytes: Largest request body that is read.
        stats: Whether the engine keeps sums over all tokens.
        flush_seconds: Seconds between two flushes of sums to the store.
        stats_bucket_seconds: How finely `since` can tell times apart.
        stats_max_groups: Most groups of sums per bucket of time; the tokens of further ones go to the overflow.
        expert_metrics: Whether `/metrics` has a series per layer and expert.
        trace_dir: Where every request's trace is written as Parquet; without it none is stored.
        max_trace_bytes: Memory that the workers may fill with traces before they drop some.
        trace_scores: Log router scores on a GPU too, so that requests may ask for them.
        disable: Leave vLLM untouched.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    admin_key: SecretStr | None = None
    data_dir: Path = Field(default_factory=default_data_dir)
    store_url: SecretStr | None = None
    policy: Path | None = None
    steering_default: Annotated[str, Field(pattern=PLAN_NAME_PATTERN)] = "off"
    inline_edits: Switch = True
    max_body_bytes: Annotated[int, Field(ge=1024)] = 8 * MIB
    stats: Switch = True
    flush_seconds: Annotated[float, Field(ge=0.05, le=3600, allow_inf_nan=False)] = 1.0
    stats_bucket_seconds: Annotated[int, Field(ge=1, le=366 * 86400)] = 3600
    stats_max_groups: Annotated[int, Field(ge=4, le=1 << 20)] = 4096
    expert_metrics: Switch = False
    trace_dir: Path | None = None
    max_trace_bytes: Annotated[int, Field(ge=MIB)] = 1024 * MIB
    trace_scores: Switch = False
    disable: Switch = False

    @field_validator("admin_key")
    @classmethod
    def _check_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not all("!" <= character <= "~" for character in key.get_secret_value()):
            raise ValueError("a key travels in an HTTP header: use printable ASCII characters without spaces")
        return key


def read_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        StartupError: Names the variable, its flag and what is wrong with the value.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise StartupError(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0])
    flag = "--" + field.replace("_", "-")
    shown = "" if field in SECRETS else f", got {first['input']!r:.80}"
    return f"{PREFIX}{field.upper()} ({flag}): {first['msg']}{shown}"
