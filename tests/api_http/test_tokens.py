"""Tokens that must not open anything, and the four algorithms that do."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.api_http.kit import SECRET, claims, opened, problem, token
from tests.store.kit import Place
from windlass import SettingsError
from windlass.api.settings import load_api_settings

SELF = "/api/v1/self"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PRIVATE = {"RS256": RSA, "ES256": EC, "EdDSA": ED}
WRITERS: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def pem(name: str) -> str:
    return PRIVATE[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(name: str, kid: str | None) -> dict[str, Any]:
    found = json.loads(WRITERS[name].to_jwk(PRIVATE[name].public_key()))
    return found if kid is None else {**found, "kid": kid}


def b64(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def forged(header: Any, body: Any, secret: bytes = SECRET.encode()) -> str:
    """A token with any header and body, signed by HMAC as if that were right."""
    signed = f"{b64(header)}.{b64(body)}"
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


@contextmanager
def key_server(keys: list[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """A server of a key set, which may change; the address, and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            text = json.dumps({"keys": keys}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/keys", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attacks() -> dict[str, str]:
    later = int(time.time()) + 1_000_000  # these are made when tests are collected, and the run may take its time
    good = claims(exp=later)
    header = {"alg": "HS256", "typ": "JWT"}
    twice = b'{"alg":"none","alg":"HS256"}'
    body = json.dumps(good).encode()
    found = {
        "none": f"{b64({'alg': 'none'})}.{b64(good)}.",
        "None": f"{b64({'alg': 'None'})}.{b64(good)}.",
        "nOnE": forged({"alg": "nOnE"}, good),
        "empty signature": f"{b64(header)}.{b64(good)}.",
        "no signature": f"{b64(header)}.{b64(good)}",
        "two dots": "..",
        "five parts": f"{b64(header)}.a.b.c.d",
        "no algorithm": forged({"typ": "JWT"}, good),
        "list as algorithm": forged({"alg": ["HS256"]}, good),
        "another HMAC": forged({"alg": "HS384"}, good),
        "RS256 by header": forged({"alg": "RS256"}, good),
        "crit": forged({**header, "crit": ["exp"]}, good),
        "b64": forged({**header, "b64": False, "crit": ["b64"]}, good),
        "kid is no text": forged({**header, "kid": ["a"]}, good),
        "header twice": forged(twice, good),
        "claim twice": forged(header, body[:-1] + b',"role":"admin"}'),
        "not an object": forged(header, [good]),
        "deep": forged(header, b"[" * 3_000 + b"]" * 3_000),
        "another secret": forged(header, good, b"x" * 40),
        "a megabyte": "a." + "b" * (1 << 20) + ".c",
        "JSON form": json.dumps({"payload": b64(good), "signatures": []}),
        "not ASCII": "ä.ö.ü",
    }
    for name, value in {
        "absent": ..., "null": None, "text": str(later), "true": True, "past": time.time() - 100,
        "minus": -1, "year 10000": 253402300800, "list": [later],
    }.items():  # fmt: skip
        found[f"exp {name}"] = forged(header, claims(exp=value))
    for raw in ("1e400", "NaN", "Infinity"):
        text = b'{"sub":"ann","aud":"windlass","iss":"https://issuer.test","exp":%s}' % raw.encode()
        found[f"exp {raw}"] = forged(header, text)
    for name, changed in {
        "nbf ahead": {"nbf": later}, "nbf text": {"nbf": "1"}, "nbf null": {"nbf": None},
        "iat ahead": {"iat": later}, "iat true": {"iat": True},
        "no audience": {"aud": ...}, "other audience": {"aud": ["a", "b"]}, "audience part": {"aud": "windlass.evil"},
        "audiences of two kinds": {"aud": ["windlass", 3]},
        "no issuer": {"iss": ...},
        "other issuer": {"iss": "https://issuer.test.evil"}, "issuers": {"iss": ["https://issuer.test"]},
        "no subject": {"sub": ...}, "empty subject": {"sub": ""}, "subject number": {"sub": 7}, "subject blank": {"sub": " "},
        "long subject": {"sub": "a" * 201}, "subject list": {"sub": ["ann"]},
        "role root": {"role": "root"}, "role null": {"role": None}, "role list": {"role": ["admin"]},
        "role Admin": {"role": "Admin"},
        "project null": {"project": None}, "project empty": {"project": ""}, "project zero": {"project": 0},
        "project *": {"project": "*"}, "projects": {"project": ["blue", "red"]}, "long project": {"project": "p" * 201},
        "permissions text": {"permissions": "jobs:read"}, "permissions numbers": {"permissions": [1]},
    }.items():  # fmt: skip
        found[name] = forged(header, {key: value for key, value in {**good, **changed}.items() if value is not ...})
    return found


ATTACKS = attacks()


@pytest.mark.parametrize("name", ATTACKS)
async def test_refused(memory: Place, name: str) -> None:
    async with opened(memory, jwt_public_key=pem("RS256")) as door:
        client = await door.client()
        header = b"Bearer " + ATTACKS[name].encode()
        document = problem(await client.get(SELF, headers={b"Authorization": header}), 401, "invalid-credentials")
        assert ATTACKS[name][-20:] not in json.dumps(document)


async def test_a_public_key_is_no_secret(memory: Place) -> None:
    """Signing with the text of the public key is the classic confusion of algorithms."""
    for name in PRIVATE:
        async with opened(memory, jwt_public_key=pem(name)) as door:
            client = await door.client()
            for secret in (pem(name), pem(name).strip(), pem(name).replace("\n", "")):
                for algorithm in ("HS256", name):
                    text = forged({"alg": algorithm}, claims(role="admin"), secret.encode())
                    answer = await client.get(SELF, headers={"Authorization": f"Bearer {text}"})
                    problem(answer, 401, "invalid-credentials")


@pytest.mark.parametrize("scheme", ["Basic {}", "bearer", "Bearer", "Bearer  ", "Token {}", "{}", "Bearer {} {}"])
async def test_other_schemes(memory: Place, scheme: str) -> None:
    async with opened(memory) as door:
        client = await door.client()
        answer = await client.get(SELF, headers={"Authorization": scheme.replace("{}", token())})
        problem(answer, 401, "invalid-credentials")


@pytest.mark.parametrize("algorithm", ["HS256", *PRIVATE])
async def test_accepted(memory: Place, algorithm: str) -> None:
    given: dict[str, Any] = {} if algorithm == "HS256" else {"jwt_public_key": pem(algorithm)}
    async with opened(memory, **given) as door:
        text = jwt.encode(claims(role="viewer", project="blue"), PRIVATE.get(algorithm, SECRET), algorithm)
        client = await door.client(text)
        found = (await client.get(SELF)).json()
        assert (found["user"], found["role"], found["project"]) == ("ann", "viewer", "blue")


async def test_a_key_set(memory: Place) -> None:
    symmetric = {"kty": "oct", "k": b64(b"x" * 40), "kid": "sym"}
    keys = [jwk(name, name) for name in PRIVATE] + [symmetric, {"kty": "RSA"}, {"kty": ["a"]}, {}]
    with key_server(keys) as (url, asked):
        async with opened(memory, jwks_url=url, failures="1000/s") as door:
            client = await door.client()

            async def ask(text: str) -> int:
                return (await client.get(SELF, headers={"Authorization": f"Bearer {text}"})).status_code

            for name, key in PRIVATE.items():
                assert await ask(jwt.encode(claims(), key, name, headers={"kid": name})) == 200
            assert len(asked) == 1
            assert await ask(jwt.encode(claims(), b"x" * 40, "HS256", headers={"kid": "sym"})) == 401
            assert await ask(jwt.encode(claims(), RSA, "RS256", headers={"kid": "ES256"})) == 401
            assert (
                await ask(jwt.encode(claims(jku="x"), RSA, "RS256", headers={"kid": "RS256", "jku": "http://evil"}))
                == 200
            )
            for n in range(20):
                assert await ask(jwt.encode(claims(n=n), RSA, "RS256", headers={"kid": f"unknown-{n}"})) == 401
            assert len(asked) <= 2, "anybody could make us ask all the time"


async def test_a_new_key_of_the_set_is_found(memory: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.api import jwks

    monkeypatch.setattr(jwks, "UNKNOWN_EVERY", 0.0)
    keys = [jwk("RS256", "old")]
    with key_server(keys) as (url, _):
        async with opened(memory, jwks_url=url) as door:
            client = await door.client(jwt.encode(claims(), RSA, "RS256", headers={"kid": "old"}))
            assert (await client.get(SELF)).status_code == 200
            keys[:] = [jwk("ES256", "new")]
            client = await door.client(jwt.encode(claims(), EC, "ES256", headers={"kid": "new"}))
            assert (await client.get(SELF)).status_code == 200
            client = await door.client(jwt.encode(claims(n=1), RSA, "RS256", headers={"kid": "old"}))
            assert (await client.get(SELF)).status_code == 401


async def test_no_key_set_no_entry(memory: Place) -> None:
    async with opened(memory, jwks_url="http://127.0.0.1:9/keys", jwt_secret=None) as door:
        client = await door.client(jwt.encode(claims(), RSA, "RS256", headers={"kid": "a"}))
        problem(await client.get(SELF), 401, "invalid-credentials")


async def test_projects_can_be_required(memory: Place) -> None:
    async with opened(memory, projects="required") as door:
        for role in ("user", "viewer", "operator"):
            problem(await (await door.as_(role)).get(SELF), 401, "invalid-credentials")
            assert (await (await door.as_(role, project="blue")).get(SELF)).status_code == 200
        admin = await door.as_("admin")
        assert (await admin.get(SELF)).status_code == 200
        answer = await admin.post("/api/v1/keys", json={"name": "loose", "role": "user"})
        problem(answer, 422, "invalid-body")


async def test_expiry_ends_what_was_good(memory: Place) -> None:
    async with opened(memory, jwt_leeway=0) as door:
        client = await door.as_("user", exp=time.time() + 0.3)
        assert (await client.get(SELF)).status_code == 200
        from tests.waiting import until

        async def closed() -> bool:
            return (await client.get(SELF)).status_code == 401

        await until(closed, "the token to expire")


async def test_guessing_is_slowed_down(memory: Place) -> None:
    async with opened(memory, failures="5/m") as door:
        guesser = await door.client(peer="2001:db8::1")
        codes = [(await guesser.get(SELF, headers={"Authorization": f"Bearer x.{n}.y"})).status_code for n in range(7)]
        assert codes == [401] * 5 + [429] * 2
        for forwarded in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
            neighbour = await door.client(peer="2001:db8::ffff")
            answer = await neighbour.get(SELF, headers={"Authorization": "Bearer x.y.z", forwarded: "203.0.113.9"})
            problem(answer, 429, "too-many-requests")
            assert int(answer.headers["retry-after"]) >= 1
        for peer in ("2001:db8:0:1::1", "2001:db8::1"):  # whoever has what opens gets in, also beside a guesser
            assert (await (await door.client(token(), peer=peer)).get(SELF)).status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        {"jwt_secret": "short"}, {"jwt_secret": " " * 64}, {"jwt_secret": "secret" * 20}, {"jwt_secret": "changeme"},
        {"jwt_public_key": "nothing"}, {"jwt_public_key": "-----BEGIN PRIVATE KEY-----\n"}, {"jwks_url": "http://example.com"},
        {"jwks_url": "file:///etc/passwd"}, {"jwt_leeway": 61}, {"rate": "many"}, {"projects": "maybe"}, {"nonsense": 1},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        load_api_settings(given, {})
    assert "changeme" not in str(refused.value)


def test_settings_of_the_environment() -> None:
    found = load_api_settings(
        {"rate": "5/s"}, {"WINDLASS_API_JWT_SECRET": SECRET, "WINDLASS_API_RATE": "9/s", "WINDLASS_URL": "x"}
    )
    assert found.takes_tokens
    assert found.rate is not None and found.rate.n == 5
    assert SECRET not in repr(found)
    with pytest.raises(SettingsError, match="jwt_secret"):
        load_api_settings({}, {"WINDLASS_API_JWT_SECRT": SECRET})
