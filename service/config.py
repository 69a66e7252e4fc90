"""Everything that can be configured: one frozen tree of values, from the command line, the environment
(`INTERLEAF_STORE__DATA_DIR`), a TOML file and defaults, the first that has one.

`docs/configuration.md` is made from it by `service.config_docs`; a test keeps the two equal.
"""

from __future__ import annotations

import os
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from service.config_errors import DELIMITER as DELIMITER
from service.config_errors import ENV_PREFIX as ENV_PREFIX
from service.config_errors import not_json, sentences, unknown_sections
from service.config_operation import AdmissionSettings as AdmissionSettings
from service.config_operation import CanarySettings as CanarySettings
from service.config_operation import DeadlineSettings as DeadlineSettings
from service.config_operation import JwtSettings as JwtSettings
from service.config_operation import LogSettings as LogSettings
from service.config_operation import MetricsSettings as MetricsSettings
from service.config_operation import QuotaSettings as QuotaSettings
from service.config_operation import Section as Section
from service.config_operation import SecuritySettings as SecuritySettings
from service.config_operation import TracingSettings as TracingSettings
from service.limits import LimitSettings

KIB = 1024
MIB = 1024 * KIB
DEFAULT_TOP_K = 8


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which key and why."""


class ListenSettings(Section):
    """Where the server listens, and how it behaves on the wire."""

    host: str = Field(
        default="127.0.0.1", description="Address to listen on. Others than loopback need [security]."
    )
    port: int = Field(
        default=7421, ge=0, le=65535, description="Port; 0 takes a free one, which the log names."
    )
    health_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="A second port, on the same host and without keys, that answers nothing but health "
        "checks. Health is on the main port in any case.",
    )
    health_plain: bool = Field(
        default=False,
        description="The second port speaks no TLS: for probes that cannot, such as those of Kubernetes. Whether the "
        "service is well is all that it tells.",
    )
    max_message_bytes: int = Field(
        default=8 * MIB, ge=64 * KIB, le=1024 * MIB, description="Largest message that is received."
    )
    reflection: bool = Field(default=True, description="Answer server reflection (grpcurl, grpcui).")
    grace_seconds: float = Field(
        default=10.0, ge=0, le=3600, description="How long calls in flight may go on after SIGTERM."
    )


class HttpSettings(Section):
    """JSON, the OpenAI-compatible paths and the page, over HTTP: on `listen.host`, with the TLS and keys of gRPC."""

    enabled: bool = Field(default=True, description="Answer HTTP as well.")
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port. Unset: the one after `listen.port`, or a free one where that is 0.",
    )
    names: tuple[str, ...] = Field(
        default=(),
        description="Names under which a server on loopback may be called, beside loopback's own: those of a proxy. "
        "Others are refused, so that no web page reaches it by a name that points here.",
    )

    def port_beside(self, port: int) -> int:
        """Where to listen when gRPC was told `port`."""
        if self.port is not None:
            return self.port
        return port + 1 if 0 < port < 65535 else 0


class MonitorSettings(Section):
    """What the page and the Monitor service show of answers: the last ones, in memory only."""

    records: int = Field(default=200, ge=0, le=10_000, description="Answers that are remembered; 0: none.")
    texts: bool = Field(
        default=False,
        description="Remember prompts and answers too. Otherwise: facts' ids, figures and times.",
    )


class StoreSettings(Section):
    """Where facts are kept."""

    data_dir: Path = Field(
        default=Path("interleaf-data"),
        description="Folder of the database, the index and the page-token key.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="URL of the database: `sqlite:///PATH` for one server, `postgresql://USER:PASSWORD@HOST/NAME` for "
        "any number of servers, each with a data folder of its own. Unset: `facts.db` in the data folder.",
    )
    default_namespace: str = Field(
        default="default", description="Namespace that is made at start unless it is there; empty: none."
    )
    retention_days: float = Field(
        default=30.0,
        ge=0,
        le=36500,
        description="How long a deleted fact can be brought back, and a decision about a held row be looked up. Below "
        "1, a write that is sent again when what it wrote is gone for good is NOT_FOUND.",
    )
    maintenance_seconds: float = Field(
        default=3600.0,
        gt=0,
        le=86400,
        description="How often deleted facts that are past their time are removed for good.",
    )
    import_rows: int = Field(
        default=2000, ge=1, le=100_000, description="Rows of an import that are committed in one transaction."
    )
    import_quarantine: Literal["off", "flagged", "all"] = Field(
        default="off",
        description="Rows of imports that wait for approval: none, those that are flagged, all. An import may ask for "
        "more.",
    )


class RetrievalSettings(Section):
    """How facts are found."""

    top_k: int | None = Field(
        default=None,
        ge=1,
        description="Facts that a query retrieves unless it says how many. Unset: what the encoder was "
        f"calibrated with, else {DEFAULT_TOP_K}.",
    )
    embedder: Path | None = Field(
        default=None, description="Folder of a sentence-transformers model. Unset: MiniLM from its package."
    )
    index: Literal["faiss", "pgvector"] = Field(
        default="faiss",
        description="`faiss`: in the data folder, each server its own. `pgvector`: in the PostgreSQL database, one for "
        "all servers at it.",
    )
    revision_wait_seconds: float = Field(
        default=10.0,
        ge=0,
        le=600,
        description="How long a call waits for its min_revision, within its deadline.",
    )


class EngineSettings(Section):
    """The served model."""

    kind: Literal["transformers", "vllm", "none"] = Field(
        default="transformers",
        description="`vllm`: for throughput and GPUs, in a process of its own. `none` serves facts and namespaces "
        "without a model.",
    )
    model: str = Field(
        default="default", description="`default`, or the folder of a model in transformers layout."
    )
    encoder: str = Field(
        default="default",
        description="`default` (shipped for the model), the name of one that was trained in the data folder, "
        "the folder of an encoder, or `none`.",
    )
    maps: Path | None = Field(
        default=None,
        description="Folder of maps from `interleaf edits enhance` that answers pass through. Not with vLLM.",
    )
    device: str = Field(default="auto", description="`auto`, `cpu`, `cuda`, `cuda:1`, ...")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="`auto`: float32 on CPUs (why: docs/adr/0024), else 16 bits."
    )
    max_batch: int = Field(default=16, ge=1, le=4096, description="Requests that are decoded together.")
    max_queue: int = Field(
        default=256,
        ge=1,
        le=65536,
        description="Requests that may wait for the model; further ones are refused.",
    )
    max_context: int | None = Field(
        default=None,
        ge=16,
        description="Tokens of a prompt and its answer together. Unset: what the model knows.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Threads that PyTorch computes with, in the whole process. Unset: its own choice.",
    )
    vllm_python: Path | None = Field(
        default=None,
        description="Interpreter of the environment that has vLLM. Unset: the server's own if it has, else "
        "`.venv-vllm/bin/python`.",
    )
    vllm_cache_mib: int = Field(default=1024, ge=64, description="Memory for vLLM's cache of contexts.")
    vllm_fact_tokens: int = Field(
        default=65_536, ge=1024, description="Tokens of facts that vLLM's process holds at a time."
    )
    vllm_compile: bool = Field(
        default=False,
        description="Compile the model when vLLM starts: that takes minutes, answers are faster.",
    )


class EncoderSettings(Section):
    """Work on encoders that callers may ask for: training, evaluation, calibration, sweeps over layers."""

    work: bool = Field(
        default=False,
        description="Do such work for everybody who may connect. Each piece takes minutes to hours of all cores, "
        "in a process of its own that gives way to questions. Encoders are listed in any case.",
    )
    jobs: int = Field(
        default=1, ge=1, le=64, description="Pieces of work at the same time; one more is refused."
    )
    models: tuple[str, ...] = Field(
        default=(),
        description="Models that may be named beside the served one: folders, or `OWNER/NAME` of the Hugging Face hub.",
    )


class EditSettings(Section):
    """Edits of the served model's weights. What an edit changes, it changes for every namespace."""

    work: bool = Field(
        default=False,
        description="Compute, compare, apply and take back edits for everybody who may connect. Computing is done "
        "on a copy of the model in a process of its own. Edits are listed in any case.",
    )
    all_namespaces: bool = Field(
        default=False,
        description="Allow edits to be applied although namespaces other than the edit's are served, by callers "
        "who say that they know.",
    )
    jobs: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Edits computed or compared at the same time; one more is refused.",
    )
    max_facts: int = Field(default=1000, ge=1, description="Facts of an edit, or of a comparison.")
    corpus: Path | None = Field(
        default=None,
        description="Text file, one text a line, that key statistics are estimated from. Unset: built-in text.",
    )
    key_tokens: int = Field(
        default=50_000,
        ge=1000,
        description="Tokens of that text that are read, once for each layer and model.",
    )


class CircuitSettings(Section):
    """Diagnostics of the served model: why did it say that?"""

    work: bool = Field(
        default=False,
        description="Run studies of many passes for everybody who may connect, beside answers, which go first. "
        "Single answers are checked in any case.",
    )
    waiting: int = Field(
        default=16, ge=0, le=1024, description="Checks that may wait for one, and studies for one."
    )
    tuned_parameters: int = Field(
        default=500_000_000,
        ge=0,
        description="The largest model of which StudyGrafting makes a fine-tuned copy: that takes sixteen bytes of "
        "memory for each parameter.",
    )


class CompileSettings(Section):
    """Key/value tokens of facts, made ahead where that is cheap and on demand otherwise."""

    cache_mib: int = Field(default=512, ge=1, description="Memory for compiled facts.")
    background: bool = Field(
        default=True, description="Compile facts, and read relations' names, before anybody asks."
    )
    background_facts: int = Field(
        default=2000,
        ge=0,
        description="Namespaces with more facts than this are compiled on demand only; their "
        "compiled_revision then stands still.",
    )
    batch: int = Field(default=16, ge=1, le=1024, description="Facts compiled between two decoding steps.")


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=DELIMITER, frozen=True, extra="forbid"
    )

    listen: ListenSettings = ListenSettings()
    http: HttpSettings = HttpSettings()
    security: SecuritySettings = SecuritySettings()
    jwt: JwtSettings = JwtSettings()
    store: StoreSettings = StoreSettings()
    limits: LimitSettings = LimitSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    engine: EngineSettings = EngineSettings()
    encoders: EncoderSettings = EncoderSettings()
    edits: EditSettings = EditSettings()
    circuits: CircuitSettings = CircuitSettings()
    compile: CompileSettings = CompileSettings()
    deadlines: DeadlineSettings = DeadlineSettings()
    admission: AdmissionSettings = AdmissionSettings()
    monitor: MonitorSettings = MonitorSettings()
    quotas: QuotaSettings = QuotaSettings()
    metrics: MetricsSettings = MetricsSettings()
    canary: CanarySettings = CanarySettings()
    tracing: TracingSettings = TracingSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, then environment; the file is put below them by `load`."""
        return init_settings, env_settings

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.retrieval.top_k or 0) > self.limits.max_top_k:
            raise ValueError(
                f"retrieval.top_k = {self.retrieval.top_k} is over limits.max_top_k = {self.limits.max_top_k}"
            )
        return self

    @property
    def database(self) -> str | Path:
        """Path or URL of the database."""
        url = self.store.database_url
        return self.store.data_dir / "facts.db" if url is None else url.get_secret_value()


def load(config: Path | None = None, overrides: dict[str, dict[str, Any]] | None = None) -> Settings:
    """Reads the configuration; ConfigError with a sentence for each key that is wrong.

    `overrides` are the command line's: section, key, value.
    """

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            above = super().settings_customise_sources(settings_cls, *sources, **named)
            return above if config is None else (*above, TomlConfigSettingsSource(settings_cls, config))

    if config is not None and not config.is_file():
        raise ConfigError(f"there is no configuration file {config}")
    if unknown := unknown_sections(os.environ, Settings.model_fields):
        raise ConfigError(f"{unknown[0]}: there is no such section of the configuration")
    try:
        found = FromFile(**(overrides or {}))  # type: ignore[arg-type]
        return Settings.model_construct(**{name: getattr(found, name) for name in Settings.model_fields})
    except ValidationError as error:
        raise ConfigError(sentences(error)) from None
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{config}: {error}") from None
    except SettingsError as error:
        raise ConfigError(not_json(error, os.environ)) from None


def effective(settings: Settings) -> dict[str, dict[str, Any]]:
    """The values in force, with secrets hidden, as JSON can hold them."""
    dumped: dict[str, dict[str, Any]] = settings.model_dump(mode="json")
    return dumped
