"""The parts of the OpenAPI description that no proto describes: errors, files, and OpenAI's own forms."""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_JSON = "application/json"


def _schema(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


ERROR: dict[str, Any] = {
    "type": "object",
    "description": "google.rpc.Status. `details` holds one ErrorInfo with the reason, and BadRequest or RetryInfo.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "integer"},
                "status": {"type": "string", "examples": ["NOT_FOUND"]},
                "message": _TEXT,
                "details": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
            },
        }
    },
}
ERRORS: dict[str, Any] = {
    "default": {"description": "Refused, or failed.", "content": {_JSON: _schema("Error")}},
}
IMPORT_BODY: dict[str, Any] = {
    "required": True,
    "description": "The file, of any size.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
_COMMON: dict[str, Any] = {
    "model": {**_TEXT, "description": "As /v1/models lists it; `MODEL@NAMESPACE` chooses a namespace too."},
    "namespace": {**_TEXT, "description": "Whose facts are used. Also: the header X-Interleaf-Namespace."},
    "retrieval": {"$ref": "#/components/schemas/Retrieval"},
    "strict": {
        "type": "boolean",
        "description": "Only what a stored fact says, letter by letter, or nothing.",
    },
    "max_tokens": {"type": "integer"},
    "temperature": {"type": "number", "description": "0, and where it is left out: the likeliest tokens."},
    "top_p": {"type": "number"},
    "seed": {"type": "integer"},
    "stop": {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    "stream": {"type": "boolean"},
    "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
}
OPENAI_SCHEMAS: dict[str, Any] = {
    "CompletionRequest": {
        "type": "object",
        "required": ["model", "prompt"],
        "properties": {**_COMMON, "prompt": _TEXT},
    },
    "ChatCompletionRequest": {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            **_COMMON,
            "max_completion_tokens": {"type": "integer"},
            "messages": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "role": {"enum": ["system", "developer", "user", "assistant"]},
                        "content": _TEXT,
                    },
                },
            },
        },
    },
    "OpenAIAnswer": {
        "type": "object",
        "description": "OpenAI's form, and beside it what only Interleaf knows.",
        "properties": {
            "choices": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
            "usage": {"type": "object", "additionalProperties": {"type": "integer"}},
            "interleaf": {"$ref": "#/components/schemas/GenerateResponse"},
        },
        "additionalProperties": True,
    },
}


def _post(name: str, summary: str, schema: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["OpenAI"],
        "summary": summary,
        "parameters": [{"name": "X-Interleaf-Namespace", "in": "header", "schema": _TEXT}],
        "requestBody": {"required": True, "content": {_JSON: _schema(schema)}},
        "responses": {
            "200": {
                "description": "The answer; with `stream`, server-sent events that end with `[DONE]`.",
                "content": {_JSON: _schema("OpenAIAnswer"), "text/event-stream": _schema("OpenAIAnswer")},
            },
            **ERRORS,
        },
    }


OPENAI_PATHS: dict[str, Any] = {
    "/v1/models": {
        "get": {
            "operationId": "listModels",
            "tags": ["OpenAI"],
            "summary": "The served model, alone and with each namespace.",
            "responses": {"200": {"description": "The list."}, **ERRORS},
        }
    },
    "/v1/models/{model}": {
        "get": {
            "operationId": "retrieveModel",
            "tags": ["OpenAI"],
            "summary": "One of them, by its name.",
            "parameters": [{"name": "model", "in": "path", "required": True, "schema": _TEXT}],
            "responses": {"200": {"description": "The model."}, **ERRORS},
        }
    },
    "/v1/completions": {"post": _post("createCompletion", "Continues a prompt.", "CompletionRequest")},
    "/v1/chat/completions": {
        "post": _post("createChatCompletion", "Answers a chat.", "ChatCompletionRequest")
    },
}
