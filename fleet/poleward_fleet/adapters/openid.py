"""An OpenID provider: discovery, the authorization code flow with PKCE, the ID token's checks.

Not what a person may do here (services/single_sign_on.py).
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from poleward_fleet.domain.accounts import Role
from poleward_fleet.domain.errors import (
    ConfigurationError,
    UnauthenticatedError,
    UnavailableError,
)
from poleward_fleet.domain.single_sign_on import Grant, ProvedIdentity
from poleward_fleet.ports.clock import Clock

CALLBACK_PATH = "/login/single-sign-on/callback"
_TIMEOUT_S = 10.0
_LEEWAY_S = 60
_KEEP_MS = 3600_000
# Signatures by key pairs only: with a shared secret, whoever can read it can sign.
_ALGORITHMS = ("RS256", "PS256", "ES256")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class OpenIdSettings:
    """How to sign in at a provider.

    Args:
        issuer: Address of the provider, as in its tokens.
        client_id: Our name there.
        client_secret: Empty for a public client.
        public_url: Address under which browsers reach these pages.
        name: What people call the provider.
        scopes: What we ask for besides "openid".
        name_claim: Claim with the account's name.
        roles_claim: Claim whose values roles depend on.
        grants: What people may do, in the order in which they count.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    public_url: str
    name: str
    scopes: tuple[str, ...]
    name_claim: str
    roles_claim: str
    grants: tuple[Grant, ...]


def load_settings(file: Path) -> OpenIdSettings:
    """Read the settings from a TOML file (docs/fleet.md shows one).

    Raises:
        ConfigurationError: The file cannot be read or makes no sense; says where.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        secret_file = values.get("client_secret_file")
        settings = OpenIdSettings(
            issuer=str(values["issuer"]),
            client_id=str(values["client_id"]),
            client_secret=(
                (file.parent / secret_file).read_text(encoding="utf-8").strip()
                if secret_file
                else ""
            ),
            public_url=str(values["public_url"]).rstrip("/"),
            name=str(values.get("name", urlsplit(str(values["issuer"])).hostname)),
            scopes=tuple(str(scope) for scope in values.get("scopes", ("profile",))),
            name_claim=str(values.get("name_claim", "preferred_username")),
            roles_claim=str(values.get("roles_claim", "groups")),
            grants=tuple(
                Grant(
                    str(grant["value"]),
                    frozenset(Role(role) for role in grant["roles"]),
                    str(grant.get("area", "")),
                )
                for grant in values["grants"]
            ),
        )
    except KeyError as error:
        raise ConfigurationError(f"{file} has no {error.args[0]}") from error
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{file} cannot be used: {error}") from error
    for address in (settings.issuer, settings.public_url):
        parts = urlsplit(address)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise ConfigurationError(f"{file}: {address} must begin with https://")
    return settings


class OpenIdProvider:
    """IdentityProvider after OpenID Connect Core 1.0 and Discovery 1.0.

    Args:
        settings: Which provider, and as whom.
        clock: For the tokens' times and for how long documents are kept.
    """

    def __init__(self, settings: OpenIdSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._kept: dict[str, tuple[int, dict[str, Any]]] = {}

    @property
    def name(self) -> str:
        """What people call it."""
        return self._settings.name

    async def authorization_url(self, *, state: str, nonce: str, challenge: str) -> str:
        """Return where to send the browser."""
        endpoint = str((await self._discovered())["authorization_endpoint"])
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(("openid", *self._settings.scopes)),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def identity(self, *, code: str, verifier: str, nonce: str) -> ProvedIdentity:
        """Exchange the code for an ID token and check that."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": self._settings.client_id,
            "code_verifier": verifier,
        }
        endpoint = str((await self._discovered())["token_endpoint"])
        authorization = (
            httpx.BasicAuth(self._settings.client_id, self._settings.client_secret)
            if self._settings.client_secret
            else httpx.USE_CLIENT_DEFAULT
        )
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
            try:
                answer = await client.post(endpoint, data=form, auth=authorization)
                tokens = answer.json()
            except (httpx.HTTPError, ValueError) as error:
                raise UnavailableError(f"{self.name} does not answer: {error!r}") from error
        if answer.status_code != 200 or not isinstance(tokens, dict) or "id_token" not in tokens:
            reason = tokens.get("error", "") if isinstance(tokens, dict) else ""
            raise UnauthenticatedError(
                f"{self.name} refused the sign-in ({answer.status_code} {str(reason)[:80]})"
            )
        claims = await self._checked(str(tokens["id_token"]), nonce)
        found = claims.get(self._settings.roles_claim, [])
        values = found if isinstance(found, list) else [found]
        name = claims.get(self._settings.name_claim)
        if not isinstance(name, str) or not name:
            raise UnauthenticatedError(f"{self.name} does not say {self._settings.name_claim}")
        return ProvedIdentity(
            self._settings.issuer, str(claims["sub"]), name, frozenset(str(one) for one in values)
        )

    @property
    def _redirect_uri(self) -> str:
        return self._settings.public_url + CALLBACK_PATH

    async def _checked(self, id_token: str, nonce: str) -> dict[str, Any]:
        """Check an ID token (OpenID Connect Core 1.0, 3.1.3.7); return its claims."""
        rules = jwt.JWTClaimsRegistry(
            now=self._clock.now_ms() // 1000,
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            try:
                token = jwt.decode(id_token, await self._keys(), algorithms=_ALGORITHMS)
            except (JoseError, ValueError):
                # The provider may have changed its keys since we kept them.
                token = jwt.decode(id_token, await self._keys(again=True), algorithms=_ALGORITHMS)
            rules.validate(token.claims)
        except (JoseError, ValueError) as error:
            raise UnauthenticatedError(f"{self.name} sent an ID token that is not valid") from error
        audience = token.claims["aud"]
        several = isinstance(audience, list) and len(audience) > 1
        if several and token.claims.get("azp") != self._settings.client_id:
            raise UnauthenticatedError(f"the ID token of {self.name} is for somebody else")
        return dict(token.claims)

    async def _discovered(self) -> dict[str, Any]:
        address = self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = await self._document(address)
        # OpenID Connect Discovery 1.0, 4.3
        if document.get("issuer") != self._settings.issuer:
            raise UnavailableError(f"{address} is about another issuer; check the configuration")
        if missing := {"authorization_endpoint", "token_endpoint", "jwks_uri"} - set(document):
            raise UnavailableError(f"{address} does not name {', '.join(sorted(missing))}")
        return document

    async def _keys(self, *, again: bool = False) -> KeySet:
        address = str((await self._discovered())["jwks_uri"])
        if again:
            self._kept.pop(address, None)
        return KeySet.import_key_set(await self._document(address))  # type: ignore[arg-type]

    async def _document(self, address: str) -> dict[str, Any]:
        at_ms, document = self._kept.get(address, (0, {}))
        if at_ms + _KEEP_MS > self._clock.now_ms():
            return document
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
            try:
                answer = await client.get(address)
                answer.raise_for_status()
                document = answer.json()
            except (httpx.HTTPError, ValueError) as error:
                raise UnavailableError(f"{self.name} does not answer: {error!r}") from error
        if not isinstance(document, dict):
            raise UnavailableError(f"{address} is no JSON object; check the configuration")
        self._kept[address] = (self._clock.now_ms(), document)
        return document
