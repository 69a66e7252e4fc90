"""The sections of the configuration that are about running the service: who may call, how much, what is seen of it.

`service.config` puts them into the tree, and names them for everybody else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the tree."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SecuritySettings(Section):
    """Who may connect. Outside loopback TLS is needed, and callers that are known by a key, a client certificate or a
    token ([jwt]); a half-made configuration refuses to start."""

    tls_certificate: Path | None = Field(
        default=None, description="PEM file of the server's certificate chain."
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key.")
    api_keys_file: Path | None = Field(
        default=None,
        description="File of API keys: `NAME SHA256-OF-KEY GRANT...` a line; `interleaf new-key` adds one.",
    )
    client_ca: Path | None = Field(
        default=None,
        description="PEM file of those who sign clients' certificates. With it, nobody connects without one.",
    )
    clients_file: Path | None = Field(
        default=None,
        description="File of clients: `NAME IDENTITY GRANT...` a line, the identity being `uri:`, `dns:`, `email:` or "
        "`cn:` and the name in the certificate.",
    )


class JwtSettings(Section):
    """Callers known by JSON Web Tokens. issuer, audience and keys_file: all three, or none."""

    issuer: str | None = Field(default=None, description="Who makes the tokens, as their `iss` says.")
    audience: str | None = Field(default=None, description="This service, as their `aud` says.")
    keys_file: Path | None = Field(
        default=None,
        description="JWKS file of the issuer's public keys, each with its `alg` (RS, PS, ES, EdDSA).",
    )
    leeway_seconds: float = Field(
        default=30.0, ge=0, le=600, description="How far the clocks of issuer and server may be apart."
    )
    scope_claim: str = Field(
        default="scope",
        min_length=1,
        description="Claim with scopes: `read@films`, or `read` for its namespaces.",
    )
    namespaces_claim: str = Field(
        default="namespaces", min_length=1, description="Claim with the namespaces of bare scopes, or `*`."
    )


class DeadlineSettings(Section):
    """The longest a call may take, in seconds, whatever deadline its client set."""

    read: float = Field(default=30.0, gt=0, description="Reads and searches.")
    write: float = Field(default=60.0, gt=0, description="Writes.")
    generate: float = Field(default=300.0, gt=0, description="Generate, StreamGenerate, Score and Compare.")
    transfer: float = Field(default=86400.0, gt=0, description="Imports and exports.")
    operation: float = Field(
        default=300.0, gt=0, description="Calls about long-running operations, waiting included."
    )


class AdmissionSettings(Section):
    """Calls of a kind at the same time; one more is RESOURCE_EXHAUSTED and told when to come back. Of those that are
    let in, `*_running` are worked on; the others wait for their turn, which goes round the namespaces."""

    read: int = Field(default=256, ge=1, description="Reads and searches.")
    write: int = Field(default=512, ge=1, description="Writes.")
    generate: int = Field(default=128, ge=1, le=1024, description="Calls that need the model.")
    transfer: int = Field(default=16, ge=1, description="Imports and exports; none of them waits.")
    operation: int = Field(default=64, ge=1, description="Calls about long-running operations; none waits.")
    read_running: int = Field(default=64, ge=1, description="Reads and searches that are worked on.")
    write_running: int = Field(default=128, ge=1, description="Writes that are worked on, and share commits.")
    generate_running: int | None = Field(
        default=None,
        ge=1,
        description="Calls that are worked on, of those that need the model. Unset: engine.max_batch and half as many.",
    )
    wait_seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="How long a call may wait for its turn; who would wait longer is refused at once.",
    )
    retry_seconds: float = Field(
        default=0.5, gt=0, le=3600, description="When a refused call should come back, at the soonest."
    )


class QuotaSettings(Section):
    """How often one namespace may be called, and how large it may be. More calls are RESOURCE_EXHAUSTED, reason
    RATE_EXCEEDED, and told when to come back. Unset: as admission allows."""

    read_per_second: float | None = Field(default=None, gt=0, description="Reads and searches.")
    write_per_second: float | None = Field(default=None, gt=0, description="Writes; a batch is one.")
    generate_per_second: float | None = Field(default=None, gt=0, description="Calls that need the model.")
    transfer_per_second: float | None = Field(default=None, gt=0, description="Imports and exports.")
    max_facts: int | None = Field(
        default=None,
        ge=0,
        description="Live facts that a namespace may have; one more is RESOURCE_EXHAUSTED, reason FACT_QUOTA_EXCEEDED.",
    )
    max_facts_of: dict[str, int] = Field(
        default={}, description="The same for single namespaces, by name: `{ films = 1000 }`."
    )
    burst_seconds: float = Field(
        default=5.0, gt=0, le=3600, description="So many seconds' worth of calls may come at once."
    )


class MetricsSettings(Section):
    """Figures for Prometheus: /metrics over HTTP, which only this machine can reach. docs/operations.md lists them."""

    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port on 127.0.0.1; 0 takes a free one, which the log names. Unset: no figures.",
    )


class CanarySettings(Section):
    """Made-up facts that the service asks itself for, through SQL, index and model; docs/operations.md says more."""

    interval_seconds: float | None = Field(
        default=None, gt=0, le=86400, description="How often. Unset: never, and its namespaces are not made."
    )
    namespace: str = Field(
        default="interleaf-canary",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,52}[a-z0-9])?$",
        description="Namespace of its facts; `-stranger` is added for the one that must not know them.",
    )


class TracingSettings(Section):
    """Spans of calls and of the stages of answers, by OpenTelemetry (the extra `tracing`); ids and figures only."""

    endpoint: str | None = Field(
        default=None,
        description="URL of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces. "
        "Unset: no spans.",
    )


class LogSettings(Section):
    """What is logged, to standard error. Logs hold ids, never the text of facts or prompts."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="`debug` also logs calls that went well."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto`: for people on a terminal, JSON elsewhere."
    )
