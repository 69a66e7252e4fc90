"""An issuer of tokens, for tests: its keys, as a file for the server, and the tokens that it makes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://issuer.example.org", "interleaf-tests"


class Issuer:
    """Has an elliptic key and an RSA key."""

    def __init__(self, folder: Path) -> None:
        self.elliptic = ec.generate_private_key(ec.SECP256R1())
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public: list[dict[str, Any]] = [
            ECAlgorithm.to_jwk(self.elliptic.public_key(), as_dict=True)
            | {"kid": "e", "alg": "ES256", "use": "sig"},
            RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True) | {"kid": "r", "alg": "RS256"},
        ]
        self.file = folder / "jwks.json"
        self.file.write_text(json.dumps({"keys": self.public}))

    @property
    def settings(self) -> dict[str, Any]:
        """The section [jwt] of a server that trusts this issuer."""
        return {"issuer": ISSUER, "audience": AUDIENCE, "keys_file": self.file}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of a good token; None takes a claim out."""
        now = int(time.time())
        usual = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "anna",
            "iat": now,
            "exp": now + 600,
            "scope": "read@*",
        }
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def token(self, **changes: Any) -> str:
        """Signed with the elliptic key."""
        return jwt.encode(self.claims(**changes), self.elliptic, "ES256", {"kid": "e"})
