"""The two endpoints of Hasura v2 that we use: GraphQL, and its metadata. One client, and errors in our own words.

https://hasura.io/docs/2.0/api-reference/ (read in November 2026).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from skene_airflow.errors import SkeneError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

PATIENCE: Final = 60.0
"""Seconds for one call that names no timeout of its own: metadata calls may rebuild a large schema."""
_REDIRECTS: Final = range(300, 400)
_LONGEST: Final = 300


class HasuraError(SkeneError):
    """Hasura did not do what was asked; the message says why, and what to mend.

    ``code`` is Hasura's own word for it (`access-denied`, `not-exists`, `conflict`, …), or `unreachable`.
    """

    def __init__(self, message: str, code: str = "") -> None:
        self.code = code
        super().__init__(message)


class HasuraUnreachable(HasuraError):
    """Nobody answered, or not as Hasura does; another try may go better."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "unreachable")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where Hasura is, and as whom it is asked. With ``role`` the permissions of that role count."""

    url: str
    admin_secret: str = field(default="", repr=False)
    role: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Hasura:
    """One Hasura; nothing is opened before the first call. Used in a ``with``, or closed by hand."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._base = endpoint.url.strip().rstrip("/").removesuffix("/v1/graphql")
        self._http = httpx.Client(timeout=PATIENCE, headers={"User-Agent": "skene-airflow"})

    def graphql(
        self, query: str, variables: Mapping[str, Any] | None = None, timeout: float = PATIENCE, role: str = ""
    ) -> dict[str, Any]:
        """The ``data`` of one GraphQL request.

        Raises HasuraError for its `errors`, and HasuraUnreachable; ``timeout`` is in seconds.
        """
        body = {"query": query, "variables": dict(variables or {})}
        found = self._post("/v1/graphql", body, self._headers(role or self.endpoint.role), timeout)
        errors = found.get("errors") if isinstance(found, dict) else None
        if isinstance(errors, list) and errors:
            first = errors[0] if isinstance(errors[0], dict) else {}
            extensions = first.get("extensions") if isinstance(first.get("extensions"), dict) else {}
            raise self._refused(str(first.get("message", "")), str((extensions or {}).get("code", "")))
        data = found.get("data") if isinstance(found, dict) else None
        if not isinstance(data, dict):
            raise HasuraUnreachable(f"{self._base} did not answer as a GraphQL endpoint does; is it Hasura's address?")
        return data

    def metadata(
        self, kind: str, args: Mapping[str, Any] | Sequence[Mapping[str, Any]], **more: Any
    ) -> dict[str, Any] | list[Any]:
        """The answer to one call of the metadata API, as administrator; ``more`` is e.g. version, resource_version.

        Raises HasuraError and HasuraUnreachable.
        """
        found = self._post("/v1/metadata", {"type": kind, "args": args, **more}, self._headers(""), PATIENCE)
        if not isinstance(found, (dict, list)):
            raise HasuraUnreachable(f"{self._base} did not answer as Hasura's metadata API does")
        return found

    def export(self) -> tuple[dict[str, Any], int]:
        """The metadata as it stands, and its resource version. Raises as ``metadata`` does."""
        found = self.metadata("export_metadata", {}, version=2)
        whole = found.get("metadata") if isinstance(found, dict) else None
        if not isinstance(found, dict) or not isinstance(whole, dict) or not isinstance(whole.get("sources"), list):
            raise HasuraError("This is no Hasura v2: its metadata has no sources. (DDN and v1 have no such API.)")
        return whole, int(found.get("resource_version", 0))

    def inconsistent(self) -> list[str]:
        """What Hasura itself finds wrong with its metadata, a line each. Raises as ``metadata`` does."""
        found = self.metadata("get_inconsistent_metadata", {})
        objects = found.get("inconsistent_objects", []) if isinstance(found, dict) else []
        return [f"{each.get('name') or each.get('type')}: {_short(each.get('reason'))}" for each in objects]

    def test(self) -> tuple[bool, str]:
        """Whether Hasura answers and takes the secret, and a sentence about it. Nothing is changed."""
        try:
            found = self.graphql("query { __typename }", timeout=10.0)
        except HasuraError as error:
            return False, str(error)
        role = f" as role '{self.endpoint.role}'" if self.endpoint.role else ""
        return True, f"Hasura answers at {self._base}{role} ({found.get('__typename', 'query_root')})"

    def close(self) -> None:
        """Let go of the connection; closing twice is fine."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _headers(self, role: str) -> dict[str, str]:
        headers = dict(self.endpoint.headers)
        if self.endpoint.admin_secret:
            headers["x-hasura-admin-secret"] = self.endpoint.admin_secret
        return headers | ({"x-hasura-role": role} if role else {})

    def _post(self, path: str, body: object, headers: Mapping[str, str], timeout: float) -> Any:
        try:
            answer = self._http.post(f"{self._base}{path}", json=body, headers=dict(headers), timeout=timeout)
            found = json.loads(answer.content, parse_float=Decimal)  # 5.50 is 5.50
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise HasuraUnreachable("the address of Hasura is no URL: write https://hasura.acme.example") from None
        except httpx.TimeoutException:
            raise HasuraUnreachable(f"{self._base} did not answer within {timeout:g} seconds") from None
        except httpx.HTTPError as error:
            raise HasuraUnreachable(f"{self._base} cannot be reached ({type(error).__name__})") from None
        except ValueError:
            where = " (it leads elsewhere)" if answer.status_code in _REDIRECTS else ""
            what = f"{self._base}{path} answered {answer.status_code} and no JSON{where}; is it Hasura's address?"
            raise HasuraUnreachable(what) from None
        if answer.is_success:
            return found
        said = found if isinstance(found, dict) else {}
        if answer.status_code >= 502 or not said.get("code"):  # a proxy before Hasura, or Hasura starting
            raise HasuraUnreachable(f"{self._base}{path} answered {answer.status_code}")
        raise self._refused(str(said.get("error", "")), str(said["code"]), str(said.get("path", "")))

    def _refused(self, message: str, code: str, path: str = "") -> HasuraError:
        if code == "access-denied":
            what = "Hasura refuses the admin secret: it is the connection's password (or HASURA_GRAPHQL_ADMIN_SECRET)"
            return HasuraError(what if "secret" in message else f"Hasura refuses access: {_short(message)}", code)
        at = f" at {path}" if path not in ("", "$") else ""
        return HasuraError(f"Hasura refuses it ({code or 'no code'}){at}: {_short(message)}", code)


def _short(text: object) -> str:
    line = " ".join(str(text or "no reason was given").split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
