"""A small OpenID provider for tests: it signs everybody in who comes, as a test wants them.

Not a provider for people: it asks nobody for a password.
"""

import asyncio
import base64
import hashlib
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from fleet_rig import FakeClock

CLIENT_ID, CLIENT_SECRET = "poleward", "between us"


class Provider:
    """Somebody is signed in there; `claims` say who, `forge` changes the ID token's content."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.issuer = ""
        self.claims: dict[str, Any] = {
            "sub": "0001", "preferred_username": "mei", "groups": ["lighting", "all"],
        }  # fmt: skip
        self.forge: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.new_keys()
        self.codes: dict[str, dict[str, str]] = {}

    def new_keys(self) -> None:
        """Sign with another key from now on."""
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})
        self.shown_key = self.key

    def discovery(self) -> dict[str, str]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def redeem(self, form: dict[str, str], authorization: str) -> Response:
        """Check a code as RFC 6749, 4.1.3 and RFC 7636, 4.6 want it."""
        asked = self.codes.pop(form.get("code", ""), None)
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or asked["redirect_uri"] != form.get("redirect_uri")
            or asked["code_challenge"] != challenge
            or authorization != f"Basic {expected.replace(' ', '%20')}"
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        tokens = {"access_token": "-", "token_type": "Bearer"}
        return JSONResponse(tokens | {"id_token": self.token(asked["nonce"])})

    def token(self, nonce: str) -> str:
        now_s = self.clock.now_ms() // 1000
        claims = {
            "iss": self.issuer, "aud": CLIENT_ID, "nonce": nonce, "iat": now_s, "exp": now_s + 300,
            **self.claims, **self.forge,
        }  # fmt: skip
        return jwt.encode({"alg": self.algorithm, "kid": self.key.kid}, claims, self.key)


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[Provider]:
    """Serve the provider on a free port of this machine."""
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> Response:
        return JSONResponse(provider.discovery())

    @app.get("/keys")
    async def keys() -> Response:
        return JSONResponse(KeySet([provider.shown_key]).as_dict(private=False))

    @app.get("/authorize")
    async def authorize(request: Request) -> Response:
        asked = dict(request.query_params)
        code = secrets.token_hex(8)
        provider.codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?code={code}&state={asked['state']}")

    @app.post("/token")
    async def token(request: Request) -> Response:
        form = {key: str(value) for key, value in (await request.form()).items()}
        return provider.redeem(form, request.headers.get("authorization", ""))

    listener = socket.create_server(("127.0.0.1", 0))
    provider.issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield provider
    finally:
        server.should_exit = True
        await task
