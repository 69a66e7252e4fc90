"""Callers known by a JSON Web Token of an issuer that is trusted.

Keys come from a file (a JWKS), each with the one algorithm that it is for: what a token says about its algorithm
decides nothing. Symmetric keys and private ones are refused, as are tokens that are not for this audience, not from
this issuer, without an end or a subject.

What a token opens is in its claims. `scope` is a list, or words: `read@films` is a grant as keys have it; a bare `read`
holds in each of `namespaces` (a list of names, or `*`). Words that are no scope of ours (`openid`) open nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jwt
from jwt import PyJWK
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    MissingRequiredClaimError,
    PyJWTError,
)

from service.access.files import Caller
from service.access.grants import Grants, Scope
from service.config import ConfigError, JwtSettings

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
PREFIX = "jwt:"  # of the caller's name: no subject can pass for the name of a key
_MOST_CHARACTERS = 8192
_LONGEST_SUBJECT = 256
_REQUIRED = ["exp", "iss", "aud", "sub"]
_PROBLEMS: tuple[tuple[type[PyJWTError], str], ...] = (
    (ExpiredSignatureError, "the token has expired"),
    (ImmatureSignatureError, "the token is not valid yet"),
    (InvalidAudienceError, "the token is for another audience"),
    (InvalidIssuerError, "the token is of another issuer"),
    (MissingRequiredClaimError, "the token lacks a claim (exp, iss, aud and sub are needed)"),
)


class Tokens:
    """Reads tokens."""

    def __init__(self, settings: JwtSettings, keys: Mapping[str, PyJWK], issuer: str, audience: str) -> None:
        self._settings, self._keys = settings, dict(keys)
        self._issuer, self._audience = issuer, audience

    @classmethod
    def open(cls, settings: JwtSettings) -> Tokens | None:
        """None where tokens are not configured; ConfigError when they are by half, or the keys cannot be used."""
        given = {name: getattr(settings, name) for name in ("issuer", "audience", "keys_file")}
        missing = [f"jwt.{name}" for name, value in given.items() if not value]
        if len(missing) == len(given):
            return None
        if missing or not settings.keys_file:
            raise ConfigError(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: tokens need "
                "jwt.issuer, jwt.audience and jwt.keys_file, all three or none"
            )
        return cls(settings, read_keys(settings.keys_file), str(given["issuer"]), str(given["audience"]))

    @staticmethod
    def looks_like_one(text: str) -> bool:
        """Whether it has a token's three parts; an API key has no dot."""
        return text.count(".") == 2

    def caller(self, token: str) -> tuple[Caller | None, str]:
        """Whose token it is; or what is wrong with it, in words that hold nothing of it."""
        if len(token) > _MOST_CHARACTERS:
            return None, f"the token is longer than {_MOST_CHARACTERS} characters"
        try:
            key = self._key(jwt.get_unverified_header(token))
            if key is None:
                return None, "the token is signed with a key that is not known"
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._settings.leeway_seconds,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except PyJWTError as error:
            return None, next(
                (said for kind, said in _PROBLEMS if isinstance(error, kind)), "the token is not valid"
            )
        return self._of(claims)

    def _key(self, header: Mapping[str, Any]) -> PyJWK | None:
        name = header.get("kid")
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(name) if isinstance(name, str) else None

    def _of(self, claims: Mapping[str, Any]) -> tuple[Caller | None, str]:
        subject = str(claims["sub"])
        if not subject or len(subject) > _LONGEST_SUBJECT or not subject.isprintable():
            return None, "the token's subject is empty, too long, or not printable"
        scopes, spaces = claims.get(self._settings.scope_claim), claims.get(self._settings.namespaces_claim)
        try:
            grants = Grants.parse(_grants(_words(scopes), _words(spaces)))
        except ValueError:
            return None, "the token's scopes or namespaces cannot be read"
        if not grants.pairs:
            return None, "the token grants nothing here"
        return Caller(PREFIX + subject, grants), ""


def _words(claim: Any) -> list[str]:
    words = claim.split() if isinstance(claim, str) else claim
    if words is None:
        return []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("a claim that should hold words does not")
    return words


def _grants(scopes: list[str], spaces: list[str]) -> Iterator[str]:
    for word in scopes:
        scope, at, _ = word.partition("@")
        if scope in set(Scope):
            yield from [word] if at else [f"{word}@{space}" for space in spaces]


def read_keys(path: Path) -> dict[str, PyJWK]:
    """The public keys of a JWKS file by their names; ConfigError with what is wrong with one."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["keys"]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"jwt.keys_file: cannot read {path}: {error}") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f'jwt.keys_file: {path} is not a JWKS, {{"keys": [...]}}') from None
    if not isinstance(listed, list) or not listed:
        raise ConfigError(f"jwt.keys_file: {path} has no key")
    found: dict[str, PyJWK] = {}
    for number, item in enumerate(listed, start=1):
        where = f"jwt.keys_file: key {number} of {path}"
        name, key = _read_key(item, where)
        if name in found or (not name and len(listed) > 1):
            raise ConfigError(f"{where} needs a `kid` of its own")
        found[name] = key
    return found


def _read_key(item: Any, where: str) -> tuple[str, PyJWK]:
    if not isinstance(item, dict):
        raise ConfigError(f"{where} is not an object")
    name, algorithm = item.get("kid", ""), item.get("alg")
    if not isinstance(name, str):
        raise ConfigError(f"{where}: its `kid` is not text")
    if item.get("kty") == "oct":
        raise ConfigError(f"{where} is symmetric: who can check such tokens can make them")
    if "d" in item:
        raise ConfigError(f"{where} is private: keep it where tokens are made, and put the public key here")
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"{where} must say in `alg` what it is for, one of {', '.join(ALGORITHMS)}")
    if item.get("use", "sig") != "sig":
        raise ConfigError(f"{where} is not for signatures (`use`)")
    try:
        key = PyJWK(item)
        too_short = key.Algorithm.check_key_length(key.key)
    except (PyJWTError, ValueError, TypeError, KeyError):
        raise ConfigError(f"{where} cannot be used as a key for {algorithm}") from None
    if too_short:
        raise ConfigError(f"{where} is too short for {algorithm}")
    return name, key
