"""JSON Web Tokens: which open something, what they open, and which configurations do not start."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from interleaf.v1 import facts_pb2 as pb
from service.access.grants import Grants
from service.access.keys import new_key
from service.access.listening import decide
from service.access.tokens import Tokens, read_keys
from service.config import ConfigError, JwtSettings, load
from tests.http_calls import HTTP, http_running, reason
from tests.serving import PARENT, refusal, serving, stubs
from tests.tokens import ISSUER, Issuer


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def tokens(issuer: Issuer) -> Tokens:
    opened = Tokens.open(JwtSettings(**issuer.settings, leeway_seconds=5))
    assert opened is not None
    return opened


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("data")
    with serving(folder, jwt=issuer.settings) as server:
        yield server.address


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def test_a_token_opens_what_its_claims_grant_and_names_the_writer(address: str, issuer: Issuer) -> None:
    with grpc.insecure_channel(address) as channel:
        server = stubs(address, "", channel)
        token = issuer.token(scope="openid write read", namespaces=["default"])
        request = pb.CreateFactRequest(parent=PARENT, fact=pb.Fact(subject="Anna", relation="b", object="c"))
        made = server.facts.CreateFact(request, metadata=bearer(token))
        listing = pb.ListFactRevisionsRequest(name=made.name)
        history = server.facts.ListFactRevisions(listing, metadata=bearer(token))
        assert history.revisions[0].principal == "jwt:anna"
        for refused in (
            issuer.token(scope="read@default"),
            issuer.token(scope="write", namespaces=["films"]),
        ):
            call = refusal(lambda token=refused: server.facts.CreateFact(request, metadata=bearer(token)))
            assert (call.code, call.reason) == ("PERMISSION_DENIED", "NOT_ALLOWED")
        expired = refusal(
            lambda: server.facts.CreateFact(
                request, metadata=bearer(issuer.token(exp=int(time.time()) - 3600))
            )
        )
        assert (expired.code, expired.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
        assert "has expired" in expired.message
        assert "Bearer TOKEN" in expired.message


@pytest.mark.parametrize(
    ("claims", "pairs"),
    [
        ({"scope": "read"}, None),
        ({"scope": "openid profile"}, None),
        ({"scope": None}, None),
        ({"scope": "read", "namespaces": ["films", "trains"]}, {"read@films", "read@trains"}),
        ({"scope": "read write@films", "namespaces": "*"}, {"read@*", "write@films"}),
        ({"scope": ["read", "ops@*"], "namespaces": "films"}, {"read@films", "ops@*"}),
        ({"scope": "read", "namespaces": []}, None),
    ],
)
def test_claims_become_grants(
    tokens: Tokens, issuer: Issuer, claims: dict[str, Any], pairs: set[str] | None
) -> None:
    caller, problem = tokens.caller(issuer.token(**claims))
    if pairs is None:
        assert (caller, problem) == (None, "the token grants nothing here")
    else:
        assert caller is not None
        assert caller.grants == Grants.parse(pairs)


def _forged_with_the_public_key(issuer: Issuer) -> str:
    """The classic: the public key as the secret of a symmetric algorithm."""
    pem = issuer.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = _part({"alg": "HS256", "typ": "JWT", "kid": "r"})
    body = _part(issuer.claims())
    signer = jwt.get_algorithm_by_name("HS256")
    return f"{head}.{body}.{_encoded(signer.sign(f'{head}.{body}'.encode(), pem))}"


def _part(content: Any) -> str:
    return _encoded(json.dumps(content).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _changed(token: str) -> str:
    head, _, signature = token.split(".")
    body = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return f"{head}.{_part(body | {'scope': 'admin@*'})}.{signature}"


def _of_another_key(issuer: Issuer, name: str | None) -> str:
    headers = {} if name is None else {"kid": name}
    return jwt.encode(issuer.claims(), ec.generate_private_key(ec.SECP256R1()), "ES256", headers)


HOUR = 3600
BAD: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "expired": (lambda i: i.token(exp=int(time.time()) - 60), "has expired"),
    "not yet": (lambda i: i.token(nbf=int(time.time()) + HOUR), "not valid yet"),
    "made tomorrow": (lambda i: i.token(iat=int(time.time()) + HOUR), "not valid yet"),
    "audience": (lambda i: i.token(aud="another"), "another audience"),
    "issuer": (lambda i: i.token(iss=ISSUER + "/"), "another issuer"),
    "no end": (lambda i: i.token(exp=None), "lacks a claim"),
    "no audience": (lambda i: i.token(aud=None), "lacks a claim"),
    "no issuer": (lambda i: i.token(iss=None), "lacks a claim"),
    "no subject": (lambda i: i.token(sub=None), "lacks a claim"),
    "empty subject": (lambda i: i.token(sub=""), "subject"),
    "subject with a line": (lambda i: i.token(sub="anna\nroot"), "subject"),
    "long subject": (lambda i: i.token(sub="a" * 300), "subject"),
    "subject of a number": (lambda i: i.token(sub=7), "not valid"),
    "scopes of numbers": (lambda i: i.token(scope=[1]), "cannot be read"),
    "scopes of an object": (lambda i: i.token(scope={"read": 1}), "cannot be read"),
    "a namespace that is none": (lambda i: i.token(scope="read", namespaces=["No Such"]), "cannot be read"),
    "unsigned": (lambda i: jwt.encode(i.claims(), None, "none", {"kid": "e"}), "not valid"),
    "forged with the public key": (_forged_with_the_public_key, "not valid"),
    "the other key's algorithm": (
        lambda i: jwt.encode(i.claims(), i.rsa, "RS512", {"kid": "r"}),
        "not valid",
    ),
    "a key's name, another key": (lambda i: _of_another_key(i, "e"), "not valid"),
    "an unknown key": (lambda i: _of_another_key(i, "x"), "key that is not known"),
    "no key": (lambda i: _of_another_key(i, None), "key that is not known"),
    "changed": (lambda i: _changed(i.token()), "not valid"),
    "no token": (lambda i: "a.b.c", "not valid"),
    "empty parts": (lambda i: "..", "not valid"),
    "long": (lambda i: "a." * 5000, "longer than"),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_tokens_that_open_nothing(tokens: Tokens, issuer: Issuer, what: str) -> None:
    make, said = BAD[what]
    token = make(issuer)
    caller, problem = tokens.caller(token)
    assert caller is None
    assert said in problem
    assert token not in problem


def test_clocks_may_differ_by_the_leeway(tokens: Tokens, issuer: Issuer) -> None:
    assert tokens.caller(issuer.token(exp=int(time.time()) - 2))[0] is not None


def test_both_keys_of_the_file_are_good_for_their_algorithm(tokens: Tokens, issuer: Issuer) -> None:
    token = jwt.encode(issuer.claims(), issuer.rsa, "RS256", {"kid": "r"})
    assert tokens.caller(token)[0] is not None


def test_keys_and_tokens_stand_beside_each_other_over_http_too(tmp_path: Path, issuer: Issuer) -> None:
    key = new_key(tmp_path / "keys", "anna", ["read@default"])
    with http_running(
        tmp_path / "data", security={"api_keys_file": tmp_path / "keys"}, jwt=issuer.settings, http=HTTP
    ) as http:
        for secret in (key, issuer.token()):
            headers = {"authorization": f"Bearer {secret}"}
            assert http.send("GET", "/v1/namespaces/default/facts", headers=headers).status_code == 200
        headers = {"authorization": f"Bearer {issuer.token(aud='another')}"}
        code, error = http.refused("GET", "/v1/namespaces/default/facts", headers=headers)
        assert (code, reason(error)) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("missing", ["issuer", "audience", "keys_file"])
def test_tokens_by_half_do_not_start(issuer: Issuer, missing: str) -> None:
    rest = {name: value for name, value in issuer.settings.items() if name != missing}
    for given in (rest, {**rest, missing: ""}) if missing != "keys_file" else (rest,):
        with pytest.raises(ConfigError, match=f"jwt.{missing} is missing"):
            decide(load(None, {"jwt": given}))


def _without_alg(key: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name != "alg"}


def test_keys_that_cannot_be_trusted_do_not_start(tmp_path: Path, issuer: Issuer) -> None:
    elliptic, of_rsa = issuer.public
    private = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(issuer.elliptic))
    short = jwt.algorithms.RSAAlgorithm.to_jwk(
        rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key(),  # noqa: S505
        as_dict=True,
    )
    wrong: list[tuple[Any, str]] = [
        ([], "has no key"),
        ([{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}], "is symmetric"),
        ([private | {"alg": "ES256"}], "is private"),
        ([_without_alg(elliptic)], "must say in `alg`"),
        ([elliptic | {"alg": "HS256"}], "must say in `alg`"),
        ([elliptic | {"alg": "none"}], "must say in `alg`"),
        ([elliptic | {"alg": "RS256"}], "cannot be used"),
        ([elliptic | {"use": "enc"}], "not for signatures"),
        ([short | {"alg": "RS256"}], "too short"),
        ([elliptic, elliptic], "`kid` of its own"),
        ([elliptic, {name: value for name, value in of_rsa.items() if name != "kid"}], "`kid` of its own"),
        (["text"], "not an object"),
    ]
    path = tmp_path / "jwks.json"
    for keys, said in wrong:
        path.write_text(json.dumps({"keys": keys}))
        with pytest.raises(ConfigError, match=f"jwt.keys_file: .*{said}"):
            read_keys(path)
    for text in ("", "[]", "{}", "nonsense"):
        path.write_text(text)
        with pytest.raises(ConfigError, match="is not a JWKS"):
            read_keys(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_keys(tmp_path / "nowhere")
