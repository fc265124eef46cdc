"""Calls to addresses that somebody else chose: names are resolved once, refused if they lead inside, and connected as checked."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from windlass.errors import InvalidOption, SettingsError, WindlassError

if TYPE_CHECKING:
    import ssl

    import httpx2

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_INSIDE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
"""What no name of the public internet leads to. Written out rather than asked of `is_global`, whose answer differs between
Python's releases; 6to4, NAT64 and Teredo are refused whole, since they carry an IPv4 address that may be anything."""

_SCHEMES = ("http", "https")
_LONGEST_URL = 8_192
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_NOT_WEB = frozenset(
    {
        21,
        22,
        23,
        25,
        53,
        110,
        111,
        119,
        135,
        139,
        143,
        389,
        445,
        465,
        514,
        587,
        636,
        993,
        995,
        2049,
        3306,
        5432,
        6379,
        11211,
    }
)
"""Ports of protocols that would take a request's lines for their own. Addresses of networks in `allow` may use them."""


class AddressRefused(WindlassError, ValueError):
    """`url` or `host`, and `address`: what it leads to."""

    code = "address-refused"
    retryable = False


class NameNotFound(WindlassError, OSError):
    """`host`: a name that cannot be resolved now."""

    code = "name-not-found"


class Outbound:
    """Which addresses may be called: public ones, and those of the networks in `allow` (`"10.1.0.0/16"`)."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self.allow: tuple[Network, ...] = tuple(_network(text) for text in allow)

    def check_url(self, url: str) -> str:
        """The URL if it is one that may be asked for; the address that its name leads to is checked by `resolve`."""
        if not isinstance(url, str) or len(url) > _LONGEST_URL or not url.isprintable() or " " in url or "\\" in url:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise AddressRefused("the URL is no text without blanks, or too long", url=repr(url)[:200])
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise AddressRefused(f"the URL {url[:200]!r} cannot be read: {error}", url=url[:200]) from None
        if parts.scheme not in _SCHEMES or not parts.hostname or port == 0:
            raise AddressRefused(f"{url[:200]!r} is no http or https URL with a host", url=url[:200])
        if "@" in parts.netloc:
            raise AddressRefused("the URL holds a user name or a password", url=f"{parts.scheme}://{parts.hostname}")
        if port in _NOT_WEB and not self.allow:
            raise AddressRefused(f"port {port} is not one of the web", url=url[:200])
        self._check_name(parts.hostname)
        return url

    def _check_name(self, host: str) -> None:
        """What a name leads to is seen when it is called; these are known to lead inside, or to mean another thing to whoever
        reads them next: `127.1`, `0x7f.1`, `2130706433`, `localhost`, each also with a dot at its end or in other digits."""
        try:
            plain = (host if host.isascii() else host.encode("idna").decode()).rstrip(".").lower()
        except UnicodeError:
            raise AddressRefused(f"{host[:200]!r} is no name of a host", host=host[:200]) from None
        literal = _literal(plain)
        if plain == "localhost" or plain.endswith(".localhost"):
            literal = ipaddress.ip_address("127.0.0.1")
        if literal is None and _NUMBER.fullmatch(plain.rpartition(".")[2]):
            raise AddressRefused(f"{host} is no IPv4 address as such are written", host=host)
        if literal is not None:
            self.check_address(literal, host)

    def check_address(self, address: Address, host: str, port: int | None = None) -> None:
        """Raises `AddressRefused` for an address inside, and for a port that is none of the web."""
        inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        asked = inner or address
        if any(asked in network for network in self.allow if network.version == asked.version):
            return
        if port in _NOT_WEB:
            raise AddressRefused(f"port {port} is not one of the web", host=host)
        if any(asked in network for network in _INSIDE if network.version == asked.version):
            raise AddressRefused(
                f"{host} leads to {address}, which is not a public address",
                host=host,
                address=str(address),
                mend="allow its network (WINDLASS_FETCH_ALLOW_PRIVATE), if jobs may call it",
            )

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, every one of them checked: a name that leads outside and inside is refused."""
        literal = _literal(host)
        if literal is not None:
            self.check_address(literal, host, port)
            return [str(literal)]
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NameNotFound(f"{host} cannot be resolved: {error}", host=host) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for text in addresses:
            self.check_address(ipaddress.ip_address(text.partition("%")[0]), host, port)
        if not addresses:
            raise NameNotFound(f"{host} has no address", host=host)
        return addresses

    def transport(self, *, verify: "bool | ssl.SSLContext" = True) -> "httpx2.AsyncBaseTransport":
        """What an `httpx2.AsyncClient` sends by: each request goes to an address that was checked, and to none that the name
        leads to a moment later. Proxies of the environment are not asked: they would resolve the name themselves."""
        from windlass.outbound_http import PinnedTransport

        return PinnedTransport(self, verify=verify)


class Clients:
    """An HTTP client for each event loop, which goes to addresses that `Outbound` allows and follows no redirect."""

    def __init__(self, networks: Callable[[], Iterable[str]], timeout: float) -> None:
        self._networks = networks
        self._timeout = timeout
        self._known: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = WeakKeyDictionary()

    def here(self) -> "httpx2.AsyncClient":
        """The running loop's; raises `SettingsError` where the extra is not installed."""
        require_client()
        import httpx2

        loop = asyncio.get_running_loop()
        client = self._known.get(loop)
        if client is None:
            transport = Outbound(self._networks()).transport()
            client = httpx2.AsyncClient(transport=transport, timeout=self._timeout, follow_redirects=False)
            self._known[loop] = client
        return client


def require_client() -> None:
    """Refuse where the HTTP client is not installed, naming the extra: a worker of webhooks and alerts may well lack it."""
    if find_spec("httpx2") is None:
        mend = "pip install 'windlass[webhooks]'"
        raise SettingsError(
            f"calling webhooks needs httpx2, which this worker has not installed: {mend}", field="webhooks", mend=mend
        )


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except (ValueError, AttributeError):
        raise InvalidOption(
            f"allow is {text!r}; it must be a network such as 10.1.0.0/16",
            field="allow",
            value=repr(text)[:100],
            limit="a network (CIDR)",
            mend="write 10.1.0.0/16",
        ) from None


def read_networks(text: str | Sequence[str]) -> tuple[str, ...]:
    """Networks as a setting gives them: a list, or text with commas."""
    parts = text.split(",") if isinstance(text, str) else text
    return tuple(part.strip() for part in parts if part.strip())


__all__ = ["AddressRefused", "Clients", "NameNotFound", "Outbound", "read_networks"]
