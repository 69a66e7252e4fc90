"""The limits of requests. Each is a configuration key, and is named when it refuses something."""

from __future__ import annotations

import dataclasses

from pydantic import BaseModel, ConfigDict, Field

from kb_store.model import Limits


class LimitSettings(BaseModel):
    """How much a request may ask for; more is INVALID_ARGUMENT, reason LIMIT_EXCEEDED, with the limit's name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_subject_length: int = Field(
        default=256, ge=1, description="Characters of a subject, and of an alias."
    )
    max_relation_length: int = Field(default=128, ge=1, description="Characters of a relation.")
    max_object_length: int = Field(default=512, ge=1, description="Characters of an object.")
    max_aliases: int = Field(default=16, ge=0, description="Aliases of a fact.")
    max_source_length: int = Field(default=512, ge=0, description="Characters of a source.")
    max_batch_facts: int = Field(default=1000, ge=1, description="Facts of a batch call.")
    max_filter_length: int = Field(default=1024, ge=1, description="Characters of a filter.")
    max_page_size: int = Field(
        default=1000, ge=1, description="Entries of a page; larger page sizes are lowered to it."
    )
    default_page_size: int = Field(default=100, ge=1, description="Entries of a page when none is asked for.")
    max_query_length: int = Field(default=32_768, ge=1, description="Characters of a search query.")
    max_top_k: int = Field(default=64, ge=1, description="Facts that one query retrieves, or names.")
    max_multi_valued_relations: int = Field(
        default=256, ge=0, description="Multi-valued relations of a namespace."
    )
    max_display_name_length: int = Field(
        default=128, ge=1, description="Characters of a namespace's display name."
    )
    max_described_relations: int = Field(
        default=256, ge=0, description="Relations of a namespace with examples of how they are asked for."
    )
    max_relation_examples: int = Field(default=16, ge=1, description="Examples of a relation.")
    max_example_length: int = Field(default=256, ge=1, description="Characters of an example.")
    max_prompt_length: int = Field(
        default=32_768, ge=1, description="Characters of a prompt, or of all messages of a chat together."
    )
    max_chat_messages: int = Field(default=256, ge=1, description="Messages of a chat.")
    max_tokens: int = Field(default=1024, ge=1, description="Tokens that one call may generate.")
    default_max_tokens: int = Field(
        default=64, ge=1, description="Tokens that are generated when none are asked for."
    )
    max_stop_sequences: int = Field(default=16, ge=0, description="Stop sequences of a call.")
    max_stop_length: int = Field(default=128, ge=1, description="Characters of a stop sequence.")
    max_temperature: float = Field(default=10.0, gt=0, description="Temperature.")
    max_continuations: int = Field(default=64, ge=1, description="Continuations that one call scores.")
    max_continuation_length: int = Field(default=4096, ge=1, description="Characters of a continuation.")

    def for_store(self) -> Limits:
        """The part that the store checks."""
        names = [field.name for field in dataclasses.fields(Limits)]
        return Limits(**{name: getattr(self, name) for name in names})
