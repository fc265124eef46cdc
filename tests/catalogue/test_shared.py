"""The shared parts: inputs, settings, storage, fetch, guards, readiness, install."""

import asyncio
import bz2
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.waiting import until
from tests.worker.kit import ended, working
from windlass.app import Windlass
from windlass.catalogue import CatalogueSettings, KindNotReady, Storage, install, readiness_of, survey
from windlass.catalogue.fetch import Fetch, FetchFailed, TypeRefused
from windlass.catalogue.guards import ArchiveLimits, FileRefused, check_archive, open_image
from windlass.catalogue.kinds import all_kinds
from windlass.catalogue.settings import FetchSettings, FileSettings, MailSettings, StorageSettings, load
from windlass.catalogue.storage import (
    FileExists,
    FileTooLarge,
    KeyRefused,
    NoSuchFile,
    NotOwner,
    Room,
    check_owner,
    job_prefix,
    owner_of,
    safe_name,
)
from windlass.errors import InvalidOption, SettingsError
from windlass.keyed import Keyed
from windlass.outbound import AddressRefused, NameNotFound, Outbound

# settings


def test_settings_by_the_founding_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_FILE_SIZE", "2048")
    monkeypatch.setenv("ALLOWED_FILE_TYPES", "image/jpeg, image/png,application/pdf")
    monkeypatch.setenv("EMAIL_PROVIDER", "sendgrid")
    monkeypatch.setenv("SENDGRID_API_KEY", "SG.very-secret")
    found = load()
    assert (found.files.max_size, found.files.allowed_types) == (2048, ("image/jpeg", "image/png", "application/pdf"))
    assert found.mail.provider == "sendgrid" and found.mail.chosen() == ("sendgrid",)
    assert "very-secret" not in repr(found) and "very-secret" not in found.model_dump_json()
    monkeypatch.setenv("WINDLASS_MAX_FILE_SIZE", "4096")
    assert load().files.max_size == 4096


def test_a_setting_that_does_not_fit_names_its_variable_and_not_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDLASS_SMTP_PORT", "s3cret-by-mistake")
    with pytest.raises(SettingsError, match="SMTP_PORT") as wrong:
        load()
    assert "s3cret" not in str(wrong.value) and "s3cret" not in str(wrong.value.facts)


def test_every_endpoint_has_a_base_url() -> None:
    from windlass.catalogue import settings

    for name in dir(settings):
        cls = getattr(settings, name)
        fields = getattr(cls, "model_fields", {})
        for field in fields:
            if field.endswith(("_api_key", "_token")) and field != "x_token":
                assert any(other.endswith("_base_url") for other in fields), f"{name}.{field}"


# storage


@asynccontextmanager
async def storage_at(kind: str, tmp_path: Path) -> AsyncIterator[Storage]:
    if kind == "s3":
        with s3_server() as settings:
            yield Storage.open(settings)
        return
    yield Storage.open(StorageSettings(url={"memory": "memory://", "local": f"file://{tmp_path}/files"}[kind]))


def s3_server() -> Any:
    """moto's S3 on a free port, with a bucket."""
    pytest.importorskip("moto.server")
    from contextlib import contextmanager

    import httpx2
    from moto.server import ThreadedMotoServer

    @contextmanager
    def serving() -> Any:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        try:
            assert httpx2.put(f"{url}/box").status_code == 200
            yield StorageSettings(
                url="s3://box/base", endpoint=url, region="us-east-1", access_key="test", secret_key="test"
            )
        finally:
            server.stop()

    return serving()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["memory", "local", "s3"])
async def test_storage_keeps_what_it_is_given(kind: str, tmp_path: Path) -> None:
    async with storage_at(kind, tmp_path) as storage:
        key = job_prefix("default", "ann", "job-1") + "a b.txt"
        made = await storage.put(key, b"hello", if_absent=True)
        assert (made.bytes, made.media_type, made.name) == (5, "text/plain", "a b.txt")
        assert made.sha256.startswith("2cf24dba")
        with pytest.raises(FileExists):
            await storage.put(key, b"again", if_absent=True)
        assert await storage.read(key, 5) == b"hello"
        with pytest.raises(FileTooLarge):
            await storage.read(key, 4)
        with pytest.raises(NoSuchFile):
            await storage.read(key + "x", 4)
        source = tmp_path / "big"
        source.write_bytes(bytes(range(256)) * 40_000)
        big = await storage.put("t/x/u/y/big.bin", source)
        assert big.bytes == 10_240_000
        assert await storage.download(big.key, tmp_path / "copy") == big.bytes
        assert (tmp_path / "copy").read_bytes() == source.read_bytes()
        assert [each.key async for each in storage.list("t/default/")] == [key]
        assert sorted([each.key async for each in storage.list()]) == sorted([key, big.key])
        assert (await storage.head(key)).bytes == 5
        await storage.delete(key, key, big.key)
        assert not await storage.exists(key)
        if kind == "s3":
            import httpx2

            await storage.put(key, b"signed")
            link = await storage.sign(key, 60)
            assert "X-Amz-Expires=60" in link and httpx2.get(link).content == b"signed"
        else:
            with pytest.raises(SettingsError, match="no signed links"):
                await storage.sign(key)


ODD_KEYS = ["", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a\\b", "a\nb", "a\0b", "x" * 901, "a/..", "~/../x"]


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_keys_that_lead_elsewhere_are_refused(key: str, tmp_path: Path) -> None:
    storage = Storage.open(StorageSettings(url=str(tmp_path / "files")))
    for call in (storage.put(key, b""), storage.read(key, 1), storage.head(key), storage.delete(key)):
        with pytest.raises(KeyRefused):
            await call


def test_keys_have_owners() -> None:
    for user in ("ann", "../ann", "a/b", "..", "ann@example.org", "名"):
        key = job_prefix("shop", user, "1") + "x"
        assert owner_of(key) == ("shop", user)
        assert check_owner(key, "shop", user) == key
        for tenant, other in (("shop", "bob"), ("other", user), ("shop", None)):
            with pytest.raises(NotOwner):
                check_owner(key, tenant, other)
    assert owner_of("mail/x.eml") is None
    assert [safe_name(n) for n in ("../../etc/passwd", "C:\\x\\y.txt", "..", "a\r\nb", "")] == [
        "passwd", "y.txt", "file", "a__b", "file"
    ]  # fmt: skip


def test_a_folder_with_a_quota(tmp_path: Path) -> None:
    room = Room(tmp_path, 100)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "a").write_bytes(b"x" * 60)
    assert (room.used(), room.left()) == (60, 40)
    room.check(40)
    for more in (41, 1_000):
        with pytest.raises(FileTooLarge):
            room.check(more)
    (tmp_path / "b").write_bytes(b"x" * 60)
    assert room.left() == 0
    with pytest.raises(FileTooLarge):
        room.check()


# outbound and fetch


INSIDE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "224.0.0.1",
    "255.255.255.255", "198.18.0.1", "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[ff02::1]", "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[::7f00:1]", "2130706433",
    "0x7f000001", "0177.0.0.1", "localhost", "127.1",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
async def test_addresses_inside_are_refused(host: str) -> None:
    with pytest.raises((AddressRefused, NameNotFound)):
        await Fetch().read(f"http://{host}/")


NO_URLS = [
    "ftp://example.com/", "file:///etc/passwd", "http://", "//x", "http://a@example.com/", "http://ex ample.com",
    "http://example.com:0/", "http://example.com:99999/", "gopher://127.0.0.1:25/", "http://[::1", "x" * 9_000,
    "http://0177.0.0.1/", "http://1.2.3.999/",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_URLS)
async def test_urls_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        await Fetch().read(url)


async def test_public_addresses_and_allowed_networks_pass() -> None:
    assert await Outbound().resolve("93.184.216.34", 80) == ["93.184.216.34"]
    assert await Outbound().resolve("2606:4700::1111", 80) == ["2606:4700::1111"]
    assert await Outbound(["10.1.0.0/16"]).resolve("10.1.2.3", 80) == ["10.1.2.3"]
    assert await Outbound(["127.0.0.0/8"]).resolve("::ffff:127.0.0.1", 80) == ["::ffff:7f00:1"]
    with pytest.raises(AddressRefused):
        await Outbound(["10.1.0.0/16"]).resolve("10.2.2.3", 80)
    with pytest.raises(InvalidOption, match="allow"):
        Outbound(["ten"])


class Web:
    """A small HTTP server: what each path answers, and which hosts it was asked as."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        self.hosts.append(next(x.split(": ")[1] for x in head.split("\r\n") if x.lower().startswith("host:")))
        extra, body, status = "", b"plain text", "200 OK"
        if path == "/away":
            status, extra = "302 Found", "Location: http://169.254.169.254/latest/meta-data\r\n"
        elif path == "/loop":
            status, extra = "302 Found", "Location: /loop\r\n"
        elif path == "/moved":
            status, extra = "301 Moved", "Location: /\r\n"
        elif path == "/gone":
            status = "404 Not Found"
        elif path == "/busy":
            status, extra = "429 Too Many", "Retry-After: 7\r\n"
        elif path == "/big":
            extra, body = "", b"x" * 300_000
        elif path == "/packed":
            extra, body = "Content-Encoding: gzip\r\n", gzip.compress(b"0" * 1_000_000)
        length = "" if path == "/big" else f"Content-Length: {len(body)}\r\n"
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nConnection: close\r\n{extra}{length}\r\n".encode() + body
        )
        await writer.drain()
        writer.close()


@asynccontextmanager
async def web() -> AsyncIterator[Web]:
    site = Web()
    server = await asyncio.start_server(site.answer, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site


async def test_what_is_fetched(tmp_path: Path) -> None:
    fetch = Fetch(FetchSettings(allow_private=("127.0.0.0/8", "::1/128"), max_bytes=200_000))
    async with web() as site:
        base = f"http://localhost:{site.port}"
        got = await fetch.read(f"{base}/moved", types=["text/*"])
        assert (got.data, got.media_type, got.size) == (b"plain text", "text/plain", 10)
        assert site.hosts == [f"localhost:{site.port}"] * 2
        saved = await fetch.save(base, tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == b"plain text" and saved.size == 10
        for path, error, match in (
            ("/away", AddressRefused, "169.254"),
            ("/loop", FetchFailed, "redirects"),
            ("/gone", FetchFailed, "404"),
            ("/busy", FetchFailed, "429"),
            ("/big", FileTooLarge, "200,000"),
            ("/packed", TypeRefused, "compressed"),
        ):
            with pytest.raises(error, match=match):
                await fetch.save(f"{base}{path}", tmp_path / "y")
            assert not (tmp_path / "y").exists()
        with pytest.raises(TypeRefused, match="image"):
            await fetch.read(base, types=["image/*"])
        with pytest.raises(FileTooLarge):
            await fetch.read(base, most=5)


async def test_the_address_that_was_checked_is_the_one_that_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads outside when it is checked and inside a moment later."""
    async with web() as site:
        loop = asyncio.get_running_loop()
        answers = iter([["127.0.0.1"], ["169.254.169.254"]])

        async def getaddrinfo(host: Any, port: int, **_: Any) -> list[Any]:
            assert host == "rebind.example"
            return [(2, 1, 6, "", (address, port)) for address in next(answers)]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        fetch = Fetch(FetchSettings(allow_private=("127.0.0.0/8",)))
        got = await fetch.read(f"http://rebind.example:{site.port}/")
        assert got.data == b"plain text" and site.hosts == [f"rebind.example:{site.port}"]
        with pytest.raises(AddressRefused):
            await fetch.read(f"http://rebind.example:{site.port}/")


async def test_the_certificate_is_the_names_although_an_address_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    import httpx2
    import trustme

    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("good.example").configure_cert(server)
    authority.configure_trust(client)
    site = Web()
    listening = await asyncio.start_server(site.answer, "127.0.0.1", 0, ssl=server)
    port = listening.sockets[0].getsockname()[1]

    async def getaddrinfo(host: Any, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    outbound = Outbound(["127.0.0.0/8"])
    async with listening, httpx2.AsyncClient(transport=outbound.transport(verify=client)) as asking:
        answer = await asking.get(f"https://good.example:{port}/")
        assert (answer.text, site.hosts) == ("plain text", [f"good.example:{port}"])
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            await asking.get(f"https://other.example:{port}/")


async def test_a_name_that_leads_outside_and_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(host: Any, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", (address, port)) for address in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        await Outbound().resolve("both.example", 80)


# guards


def zipped(*entries: tuple[str, bytes], mode: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", mode) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def tarred(*entries: tarfile.TarInfo, mode: str = "w:gz", data: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for entry in entries:
            entry.size = len(data) if entry.isfile() else 0
            archive.addfile(entry, io.BytesIO(data) if entry.isfile() else None)
    return out.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


BOMB = b"\0" * 20_000_000
NESTED = zipped(("1", zipped(("2", zipped(("3", zipped(("4", b"x"))))))))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (zipped(("a", BOMB)), "bomb"),
        (gzip.compress(BOMB), "bomb"),
        (tarred(entry("a"), data=BOMB), "bomb"),
        (tarred(entry("a"), mode="w:bz2", data=BOMB), "bomb"),
        (zipped(("inner.zip", zipped(("a", BOMB)))), "bomb"),
        (NESTED, "depth"),
        (zipped(("../../etc/passwd", b"x")), "traversal"),
        (zipped(("/etc/passwd", b"x")), "traversal"),
        (zipped(("C:\\windows\\x", b"x")), "traversal"),
        (tarred(entry("../x"), data=b"x"), "traversal"),
        (tarred(entry("x", tarfile.SYMTYPE, "/etc/passwd")), "link"),
        (tarred(entry("x", tarfile.LNKTYPE, "y")), "link"),
        (tarred(entry("x", tarfile.CHRTYPE)), "link"),
        (zipped(*((f"{n}", b"") for n in range(101))), "count"),
        (zipped(("a", b"x" * 1000))[:-30], "corrupt"),
        (gzip.compress(b"x" * 100_000)[:-20], "corrupt"),
        (b"\x1f\x8b\x08\x00garbage", "corrupt"),
        (b"PK\x03\x04garbage", "corrupt"),
        (bz2.compress(b"x"), "corrupt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",
)
def test_archives_that_do_harm(data: bytes, reason: str, tmp_path: Path) -> None:
    limits = ArchiveLimits(entries=100)
    with pytest.raises(FileRefused) as refused:
        check_archive(data, limits)
    assert refused.value.facts["reason"] == reason
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(FileRefused):
        check_archive(tmp_path / "x", limits)


def test_archives_that_do_none() -> None:
    assert check_archive(zipped(("a/b.txt", b"x" * 1_000), ("c.zip", zipped(("d", b"y" * 50))))) > 1_050
    assert check_archive(zipped(("blank", b"\0" * 900_000))) == 900_000
    assert check_archive(tarred(entry("a/b"), data=b"x" * 100)) == 100
    assert check_archive(gzip.compress(b"x" * 100)) == 100
    assert check_archive(b"%PDF-1.7") == 0
    with pytest.raises(FileRefused):
        check_archive(zipped(("a", b"x" * 2_000)), ArchiveLimits(total=1_000))


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")


def test_pictures_that_unpack_to_too_much() -> None:
    for data, reason in ((png(50_000, 50_000), "pixels"), (png(9_000, 9_000), "pixels"), (b"no picture", "corrupt")):
        with pytest.raises(FileRefused) as refused:
            open_image(data)
        assert refused.value.facts["reason"] == reason
    with open_image(png(10, 10)) as image:
        assert image.size == (10, 10)
    from PIL import Image

    frames = [Image.new("RGB", (4, 4), (n, 0, 0)) for n in range(30)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(FileRefused, match="30 frames"):
        open_image(out.getvalue(), frames=20)


# readiness and install


def test_what_a_kind_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = all_kinds()["send-email"]
    ready = CatalogueSettings(mail=MailSettings(sender="a@b.org", smtp_host="x"))
    assert readiness_of(kind, ready).word == "ready"
    lacking = readiness_of(kind, CatalogueSettings(mail=MailSettings()))
    assert lacking.word == "missing setting" and "WINDLASS_EMAIL_FROM" in lacking.mend
    bare = readiness_of(kind, CatalogueSettings(mail=MailSettings(sender="a@b.org", provider="sendgrid")))
    assert [lack.name for lack in bare.lacks] == ["SENDGRID_API_KEY"]
    monkeypatch.setattr("windlass.catalogue.readiness.has_module", lambda name: name != "jinja2")
    assert readiness_of(kind, ready).word == "missing extra" and "windlass[mail]" in readiness_of(kind, ready).mend
    assert {state.kind for state in survey(ready)} == set(all_kinds())


def test_all_that_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "windlass.catalogue.readiness.has_module", lambda name: name in ("pydantic", "pydantic_settings")
    )
    kinds = ["process-video", "send-email", "daily-reports"]
    extras = ",".join(dict.fromkeys(all_kinds()[name].extra for name in kinds))
    nothing = CatalogueSettings(mail=MailSettings(sender="a@b.org", provider="sendgrid"))
    with pytest.raises(KindNotReady) as caught:
        install(Windlass("sqlite://:memory:"), kinds=kinds, settings=nothing, unready="raise")
    text = str(caught.value)
    assert f"pip install 'windlass[{extras}]'" in text and "SENDGRID_API_KEY" in text
    assert text.startswith("process-video, send-email, daily-reports cannot run here")
    assert text.count("pip install") == 1 + text.count("mend: pip install")
    several = readiness_of(all_kinds()["daily-reports"], nothing).mend
    assert several.count("pip install") == 1


def test_every_kind_is_whole() -> None:
    from windlass.catalogue.kinds import load as place

    for kind in all_kinds().values():
        assert kind.purpose and kind.family and kind.effect, kind.name
        assert callable(place(kind.handler)), kind.name
        model = place(kind.input)
        assert model.model_config["extra"] == "forbid", kind.name
        with pytest.raises(ValidationError):
            model.model_validate({"no_such_field": 1})


async def test_a_kind_that_is_not_ready_is_refused_or_parked(app: Windlass) -> None:
    nothing = CatalogueSettings(mail=MailSettings())
    mail = {"to": "a@b.org", "subject": "x", "text": "y"}
    with pytest.raises(KindNotReady, match="missing setting"):
        install(app, kinds=["send-email"], settings=nothing, unready="raise")
    install(app, kinds=["send-email"], settings=nothing)
    async with app:
        with pytest.raises(KindNotReady, match="WINDLASS_EMAIL_FROM"):
            await app.enqueue("send-email", **mail)
        assert not (await app.jobs.list()).items
    producer = Windlass(app.url, namespace=app.namespace)
    if ":memory:" in app.url:
        return
    install(producer, kinds=["send-email"], settings=nothing, unready="park")
    async with producer:
        ref = await producer.enqueue("send-email", **mail)
        async with working(producer):
            assert (await producer.jobs.get(ref)).state == "waiting"
        # A worker that has the kind and lacks what it needs puts it off, and says why.
        async with app, working(app):

            async def is_put_off() -> bool:
                return (await app.jobs.get(ref.id)).state == "delayed"

            await until(is_put_off, "the job to be put off")
            told = (await app.jobs.get(ref.id)).attempts[-1].reason
            assert told is not None and "WINDLASS_EMAIL_FROM" in told
        await producer.jobs.run_now(ref.id)
        ready = Windlass(app.url, namespace=app.namespace)
        file = MailSettings(sender="a@b.org", provider="file")
        settings = CatalogueSettings(mail=file, storage=StorageSettings(url="memory://"))
        install(ready, kinds=["send-email"], settings=settings)
        async with ready, working(ready):
            assert (await ended(ready, ref.id)).state == "completed"


async def test_install_takes_the_presets_numbers_and_leaves_what_is_there() -> None:
    app = Windlass("sqlite://:memory:")
    app.queue("email-sending", concurrency=3)
    with pytest.raises(InvalidOption, match="no kind"):
        install(app, kinds=["nothing"])
    with pytest.raises(InvalidOption, match="no family"):
        install(app, families=["nothing"])
    ready = CatalogueSettings(mail=MailSettings(sender="a@b.org", smtp_host="x"))
    handlers = install(app, families=["mail"], settings=ready)
    assert handlers["send-email"].queue == "email-sending" and handlers["send-email"].declared.quota is not None
    assert install(app, families=["mail"])["send-email"] is handlers["send-email"]
    async with app:
        limits = {limit.key: limit for limit in await app.limits.list()}
        assert limits["queue:email-sending"].concurrency == 3
    other = Windlass("sqlite://:memory:")
    install(other, kinds=["file-processing"], settings=CatalogueSettings(files=FileSettings()))
    async with other:
        assert {limit.key: limit.concurrency for limit in await other.limits.list()}["queue:file-processing"] == 4


async def test_keyed_records(app: Windlass) -> None:
    async with app:
        notes = Keyed(app, "notes")
        first = await notes.put("a", {"n": 1}, expect=0)
        assert first is not None and await notes.put("a", {"n": 2}, expect=0) is None
        second = await notes.put("a", {"n": 2}, expect=first.version)
        assert second is not None and await notes.get("a") == second
        await notes.put("b", 1, ttl="1h")
        assert [kept.key for kept in await notes.list()] == ["a", "b"] and await Keyed(app, "other").list() == []
        await notes.delete("a", "a")
        assert await notes.get("a") is None
        for key in ("", "a\nb", "x" * 301):
            with pytest.raises(InvalidOption):
                await notes.get(key)
