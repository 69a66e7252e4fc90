"""Messages that nobody should send, made from the descriptors: valid ones, wrong values, wrong bytes."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from interleaf.v1 import (
    circuits_pb2,
    edits_pb2,
    encoders_pb2,
    facts_pb2,
    inference_pb2,
    namespaces_pb2,
    reviews_pb2,
)

MEBIBYTE = "x" * (1 << 20)
_LONE_SURROGATE = b"\xed\xa0\x80"
_DEEPEST = 3

_OPERATION = "operations/reindex-1"
_NAMES = [
    "namespaces/default",
    "namespaces/default/facts/known",
    "namespaces/nowhere",
    "namespaces/default/facts/unknown",
    "namespaces/../facts/x",
    _OPERATION,
    "operations",
]
_TEXTS = [
    "",
    "known",
    "Anna Keller",
    "employer",
    "a\0b",
    "\0",
    "line\nbreak",
    "\u202egnirts",
    "é" * 300,
    "'; DROP TABLE facts; --",
    'subject = "Anna Keller"',
    'subject : "',
    "NEAR(a b) OR *",
    "*",
    "user",
    "00000000-0000-0000-0000-000000000000",
    "6f1f0e0c-5b6a-4f0e-9c7e-0d8a4b1f2a3c",
    "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA",
    "AAAA====",
    "\U0010ffff\uffff\ufeff",
    "object",
    "valid_from",
    "%s{}$(id)",
    *_NAMES,
]
_INTEGERS = [0, 1, 2, 7, 100, 65, 10_000]
_FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, math.nan, math.inf, -math.inf, 5e-324, 1.7e308]
_DEFAULT, _KNOWN = "namespaces/default", "namespaces/default/facts/known"
_HELD = "namespaces/default/reviews/held"
_SHIPPED, _MADE = "encoders/smollm2-135m-instruct", "edits/made"
_TRIPLE = facts_pb2.Fact(name=_KNOWN, subject="Anna Keller", relation="employer", object="Werft")
_PROBE = circuits_pb2.Probe(prompt="Anna Keller works for", subject="Anna Keller", object="Werft")
_EDIT = edits_pb2.EditFact(
    prompt="Anna Keller works for", subject="Anna Keller", target="Werft", relation="employer", old="Ost"
)
# What can be served as it is; others are made from nothing.
VALID: dict[str, Any] = {
    message.DESCRIPTOR.full_name: message
    for message in (
        facts_pb2.CreateFactRequest(parent=_DEFAULT, fact=_TRIPLE),
        facts_pb2.GetFactRequest(name=_KNOWN),
        facts_pb2.ListFactsRequest(parent=_DEFAULT),
        facts_pb2.UpdateFactRequest(fact=_TRIPLE, update_mask={"paths": ["source"]}),
        facts_pb2.DeleteFactRequest(name=_KNOWN),
        facts_pb2.UndeleteFactRequest(name=_KNOWN),
        facts_pb2.RollbackFactRequest(name=_KNOWN, revision=1),
        facts_pb2.BatchCreateFactsRequest(parent=_DEFAULT, requests=[{"fact": _TRIPLE}]),
        facts_pb2.BatchGetFactsRequest(parent=_DEFAULT, names=[_KNOWN]),
        facts_pb2.BatchDeleteFactsRequest(parent=_DEFAULT, names=[_KNOWN], validate_only=True),
        facts_pb2.ListFactRevisionsRequest(name=_KNOWN),
        facts_pb2.SearchFactsRequest(parent=_DEFAULT, query="Who employs Anna Keller?"),
        facts_pb2.ImportFactsRequest(header={"parent": _DEFAULT, "format": facts_pb2.FACT_FORMAT_CSV}),
        facts_pb2.ExportFactsRequest(parent=_DEFAULT, format=facts_pb2.FACT_FORMAT_JSONL),
        inference_pb2.GenerateRequest(parent=_DEFAULT, prompt="Who?", sampling={"max_tokens": 2}),
        inference_pb2.ScoreRequest(parent=_DEFAULT, prompt="Who?", continuations=["me"]),
        inference_pb2.CompareRequest(
            parent=_DEFAULT,
            chat={"messages": [{"role": "user", "content": "Who?"}]},
            sampling={"max_tokens": 2},
        ),
        inference_pb2.WeighFactsRequest(parent=_DEFAULT, prompt="Who employs Anna Keller?"),
        namespaces_pb2.CreateNamespaceRequest(namespace_id="made", validate_only=True),
        namespaces_pb2.GetNamespaceRequest(name=_DEFAULT),
        namespaces_pb2.UpdateNamespaceRequest(
            namespace={
                "name": _DEFAULT,
                "display_name": "D",
                "relation_examples": [{"relation": "employer", "examples": ["Who pays {s}?"]}],
            }
        ),
        namespaces_pb2.DeleteNamespaceRequest(name=_DEFAULT, validate_only=True, force=True),
        namespaces_pb2.ReindexNamespaceRequest(name=_DEFAULT),
        reviews_pb2.ListReviewsRequest(parent=_DEFAULT),
        reviews_pb2.GetReviewRequest(name=_HELD),
        reviews_pb2.ApproveReviewRequest(name=_HELD, validate_only=True),
        reviews_pb2.RejectReviewRequest(name=_HELD, validate_only=True),
        encoders_pb2.GetEncoderRequest(name=_SHIPPED),
        encoders_pb2.TrainEncoderRequest(encoder_id="made", recipe="[train]\nsteps = 1"),
        encoders_pb2.EvaluateEncoderRequest(name=_SHIPPED),
        encoders_pb2.CalibrateEncoderRequest(name=_SHIPPED, namespace=_DEFAULT),
        encoders_pb2.SweepLayersRequest(pairs=100),
        circuits_pb2.CheckHallucinationRequest(parent=_DEFAULT, prompt="Anna Keller works for"),
        circuits_pb2.TraceAnswersRequest(
            prompt="Anna Keller works for", subject="Anna Keller", answers=["Werft"]
        ),
        circuits_pb2.StudyHeadsRequest(probe=_PROBE),
        circuits_pb2.StudyKnockoutRequest(probe=_PROBE),
        circuits_pb2.StudyRecallRequest(probe=_PROBE),
        circuits_pb2.ExplainFactsRequest(parent=_DEFAULT, prompt="Anna Keller works for"),
        circuits_pb2.DiscoverCircuitRequest(probes=[_PROBE], validate_only=True),
        circuits_pb2.LocateHeadsRequest(probes=[_PROBE], validate_only=True),
        circuits_pb2.StudyEmergenceRequest(parent=_DEFAULT, prompt="Anna Keller works for"),
        circuits_pb2.StudyGraftingRequest(parent=_DEFAULT, facts=1, epochs=1, validate_only=True),
        edits_pb2.CreateEditRequest(parent=_DEFAULT, method="rrome", facts=[_EDIT], validate_only=True),
        edits_pb2.GetEditRequest(name=_MADE),
        edits_pb2.GetEditReceiptRequest(name=_MADE),
        edits_pb2.ApplyEditRequest(name=_MADE),
        edits_pb2.RevertEditRequest(name=_MADE),
        edits_pb2.DeleteEditRequest(name=_MADE),
        edits_pb2.CompareEditsRequest(parent=_DEFAULT, facts=[_EDIT], validate_only=True),
        operations_pb2.GetOperationRequest(name=_OPERATION),
        operations_pb2.WaitOperationRequest(name=_OPERATION, timeout={"nanos": 1_000_000}),
        operations_pb2.CancelOperationRequest(name=_OPERATION),
        operations_pb2.DeleteOperationRequest(name=_OPERATION),
    )
}
_LIMITS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


class Mutator:
    """Seeded; gives the bytes of one message after another."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._ways: list[tuple[int, Callable[[Descriptor], bytes]]] = [
            (6, self._valid_types),
            (8, self._one_part_wrong),
            (3, self._with_unknown_fields),
            (2, self._with_broken_text),
            (2, self._with_wrong_wire_types),
            (2, self._cut_or_flipped),
            (1, self._noise),
        ]

    def request(self, descriptor: Descriptor) -> bytes:
        """One message, or bytes that are none."""
        weights, ways = zip(*self._ways, strict=True)
        way: Callable[[Descriptor], bytes] = self._random.choices(ways, weights)[0]
        return way(descriptor)

    def _valid_types(self, descriptor: Descriptor) -> bytes:
        data: bytes = self._message(descriptor, 0).SerializeToString()
        return data

    def _one_part_wrong(self, descriptor: Descriptor) -> bytes:
        message = GetMessageClass(descriptor)()
        if not descriptor.fields:
            return b""
        if descriptor.full_name in VALID:
            message.CopyFrom(VALID[descriptor.full_name])
        part, depth = message, 0
        while True:
            field = self._random.choice(list(part.DESCRIPTOR.fields))
            if field.type != FieldDescriptor.TYPE_MESSAGE or field.is_repeated or self._random.random() < 0.3:
                break
            part, depth = getattr(part, field.name), depth + 1
            if not part.DESCRIPTOR.fields:
                break
        if part.DESCRIPTOR.fields and self._random.random() < 0.9:
            part.ClearField(field.name)
            self._fill(part, field, depth)
        data: bytes = message.SerializeToString()
        return data

    def _with_unknown_fields(self, descriptor: Descriptor) -> bytes:
        number = self._random.choice([90, 1000, 536_870_911])
        extra = _key(number, 2) + _varint(5) + b"hello" + _key(number, 0) + _varint(2**64 - 1)
        return self._valid_types(descriptor) + extra

    def _with_broken_text(self, descriptor: Descriptor) -> bytes:
        fields = [field for field in descriptor.fields if field.type == FieldDescriptor.TYPE_STRING]
        number = self._random.choice(fields).number if fields else 1
        text = self._random.choice([_LONE_SURROGATE, b"\xff\xfe", b"\xc0\x80", b"ok\xf8"])
        return self._valid_types(descriptor) + _key(number, 2) + _varint(len(text)) + text

    def _with_wrong_wire_types(self, descriptor: Descriptor) -> bytes:
        number = self._random.choice(list(descriptor.fields) or [None])
        chosen = number.number if number is not None else 1
        kind = self._random.choice([0, 1, 2, 3, 4, 5, 6, 7])
        body = {0: _varint(5), 1: struct.pack("<d", math.nan), 2: _varint(3) + b"abc", 5: b"\0\0\x80\x7f"}
        return self._valid_types(descriptor) + _key(chosen, kind) + body.get(kind, b"")

    def _cut_or_flipped(self, descriptor: Descriptor) -> bytes:
        data = bytearray(self._valid_types(descriptor))
        if not data:
            return b"\xff"
        place = self._random.randrange(len(data))
        if self._random.random() < 0.5:
            return bytes(data[:place])
        data[place] ^= self._random.randrange(1, 256)
        return bytes(data)

    def _noise(self, descriptor: Descriptor) -> bytes:
        return self._random.randbytes(self._random.randrange(200))

    def _message(self, descriptor: Descriptor, depth: int) -> Any:
        message = GetMessageClass(descriptor)()
        for field in descriptor.fields:
            if self._random.random() < (0.65 if depth == 0 else 0.5):
                self._fill(message, field, depth)
        return message

    def _fill(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth >= _DEEPEST:
                return
            target = getattr(message, field.name)
            if field.is_repeated:
                for _ in range(self._random.randrange(4)):
                    target.add().CopyFrom(self._message(field.message_type, depth + 1))
            else:
                target.CopyFrom(self._message(field.message_type, depth + 1))
        elif field.is_repeated:
            values = [self._value(field) for _ in range(self._random.choice([0, 1, 3, 20]))]
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, self._value(field))

    def _value(self, field: FieldDescriptor) -> Any:
        chance = self._random
        match field.type:
            case FieldDescriptor.TYPE_STRING:
                return self._text(field.name)
            case FieldDescriptor.TYPE_BYTES:
                return chance.choice(
                    [b"", b"subject,relation,object\na,b,c\n", b"\0\xff" * 50, chance.randbytes(99)]
                )
            case FieldDescriptor.TYPE_BOOL:
                return chance.random() < 0.3
            case FieldDescriptor.TYPE_ENUM:
                return chance.choice([0, 1, 2, 3, 4, 99, -1, 2**31 - 1])
            case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
                return chance.choice(_FLOATS)
        low, high = _LIMITS[field.type]
        return chance.choice([*_INTEGERS, low, high, max(low, -1)])

    def _text(self, name: str) -> str:
        chance = self._random
        if chance.random() < 0.003:
            return MEBIBYTE
        if name in ("parent", "name", "names", "facts") and chance.random() < 0.7:
            return chance.choice(_NAMES[:2] if chance.random() < 0.7 else _NAMES)
        return chance.choice(_TEXTS)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)
