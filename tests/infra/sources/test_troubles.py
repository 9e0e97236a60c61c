"""What keeps candles from coming is named, with what to do, over real HTTP and TLS; no token is."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import Fault, Simulator
from infra.sources import oanda
from infra.sources.columns import SourceError
from infra.sources.oanda import Candles
from infra.sources.troubles import nearest

START = datetime(2026, 3, 2, tzinfo=UTC)
NOW = START + timedelta(minutes=300)
TOKEN = "A-Secret-of-the-user"
LATER = "run it again later"
PAIRS = ("EUR_USD", "EUR_GBP", "USD_JPY", "XAU_USD")


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(dict.fromkeys(PAIRS, random_minutes(START, 300, seed=7)), NOW)


@pytest.fixture
def venue(market: Market, home: Path) -> Iterator[Simulator]:
    with Simulator(market, token=TOKEN).serve() as simulator:
        yield simulator


def read(url: str, pair: str = "EUR_USD", start: datetime = START, **options: Any) -> pl.DataFrame:
    source = Candles(SecretStr(TOKEN), url, **{"pause": 0.001, **options})
    return pl.concat([page.rows for page in source.pages(pair, "M1", start)])


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[..., str]:
    """The message of a reading that fails; neither it nor a log holds the token."""

    def tell(url: str, *args: Any, **options: Any) -> str:
        with caplog.at_level(logging.DEBUG), pytest.raises(SourceError) as raised:
            read(url, *args, **options)
        # httpcore logs the venue's headers to who asks for it
        logged = [log for log in caplog.messages if not log.startswith("receive_response_headers")]
        shown = f"{logged}{raised.value!r}{raised.value.__context__}"
        assert TOKEN.lower() not in shown.lower()
        return str(raised.value)

    return tell


@pytest.mark.parametrize(
    ("fault", "cause", "remedy"),
    [
        (Fault("html", 503), "status 503", LATER),
        (Fault("status", 500), "status 500", LATER),
        (Fault("status", 429), "status 429", LATER),
        (Fault("drop"), "broke the connection off", LATER),
        (Fault("truncate"), "broke the connection off", LATER),
        (Fault("garble"), "an answer that is no JSON", LATER),
        (Fault("html", 200), "a web page instead of candles", "check SEP_OANDA_URL, or a proxy"),
        (Fault("pack"), "an answer that cannot be unpacked", f"{LATER}.*a proxy, a firewall"),
        (Fault("late", seconds=1.0), "no answer of 127.0.0.1:.* within 0.2 seconds", LATER),
        (Fault("swap", 200), "candles that do not ascend", LATER),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else "",
)
def test_what_may_pass_is_tried_again_and_then_named(
    venue: Simulator, told: Callable[..., str], fault: Fault, cause: str, remedy: str
) -> None:
    venue.faults.extend([fault] * 10)
    message = told(venue.url, timeout=0.2 if fault.kind == "late" else oanda.TIMEOUT)
    head = "OANDA gave no good answer for EUR_USD M1 in 6 tries"
    assert_says(message, rf"{head} \(.*{cause}\): .*{remedy}")
    assert len(venue.requests) == oanda.TRIES


def assert_says(message: str, pattern: str) -> None:
    assert re.search(pattern, message), message


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("status", 401), r"refuses the token \(Insufficient.*set SEP_OANDA_TOKEN"),
        (Fault("status", 403), "refuses the token.*set SEP_OANDA_TOKEN"),
        (Fault("html", 403), "a web page of status 403: check SEP_OANDA_URL, or a proxy"),
        (Fault("html", 404), "a web page of status 404: check SEP_OANDA_URL"),
        (Fault("status", 400), "refuses candles of EUR_USD M1"),
        (Fault("redirect", 304), "redirects to another address"),
        *((Fault("echo", n), r"Not valid: Bearer \*\*\*") for n in (400, 401, 403, 404)),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else "",
)
def test_a_refusal_is_not_tried_again(
    venue: Simulator, told: Callable[..., str], fault: Fault, says: str
) -> None:
    venue.faults.append(fault)
    assert_says(told(venue.url), says)
    assert len(venue.requests) == 1


def test_another_token_is_refused(venue: Simulator, told: Callable[..., str]) -> None:
    venue.token = "another"
    assert_says(told(venue.url), "refuses the token")


def test_the_token_is_shown_in_no_repr(venue: Simulator) -> None:
    assert TOKEN not in repr(Candles(SecretStr(TOKEN), venue.url))


@pytest.mark.parametrize("token", ["", "two words", "end\n", "schlüssel"])
def test_what_cannot_be_a_token_is_not_sent(venue: Simulator, token: str) -> None:
    with pytest.raises(SourceError, match="SEP_OANDA_TOKEN is no token") as raised:
        Candles(SecretStr(token), venue.url)
    assert not token or token not in str(raised.value)
    assert venue.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(
    venue: Simulator, told: Callable[..., str], market: Market, status: int
) -> None:
    with Simulator(market, token=TOKEN).serve() as other:
        venue.faults.append(Fault("redirect", status, location=f"{other.url}/{TOKEN}?t={TOKEN}"))
        message = told(venue.url)
        assert other.requests == []
    assert_says(message, rf"redirects to 127.0.0.1 \(status {status}\).*set SEP_OANDA_URL")
    assert len(venue.requests) == 1


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("https://login.example:8443/x?y", "login.example "),
        (f"https://{TOKEN}.example/", r"\*\*\*.example "),
        (f"https://{TOKEN}@elsewhere.example/", "elsewhere.example "),
        ("/elsewhere", "another address"),
        ("https://[::1/", "no address"),
        ("https://a b'\"<c>/", "another address"),
    ],
)
def test_of_where_to_the_host_alone_is_told(
    venue: Simulator, told: Callable[..., str], location: str, where: str
) -> None:
    venue.faults.extend([Fault("redirect", 302, location=location)] * oanda.TRIES)
    assert_says(told(venue.url), f"redirects to {where}")


def test_a_start_that_the_venue_has_not_reached_names_both_clocks(
    venue: Simulator, told: Callable[..., str]
) -> None:
    message = told(venue.url, start=NOW + timedelta(hours=1))
    says = r"2026-03-02 06:00 UTC on \(.*'from'. Time is in the future\): its clock says 2026-03-02"
    assert_says(message, rf"{says} 05:00, this machine's {datetime.now(UTC):%Y-%m-%d}")
    assert len(venue.requests) == 1


def test_a_start_in_the_future_by_both_clocks_is_called_so(
    venue: Simulator, told: Callable[..., str], market: Market
) -> None:
    now = datetime.now(UTC)
    venue.market = Market(market.minutes, now)
    message = told(venue.url, start=now + timedelta(hours=1))
    assert_says(message, "lies in the future, ask for an earlier start")


@pytest.mark.parametrize(
    ("pair", "meant"),
    [
        ("USD_EUR", "this account may see: EUR_USD$"),
        ("EUR_UDS", "this account may see: EUR_USD"),
        ("EURGBP", "this account may see: EUR_GBP"),
        ("GOLD", "such as EUR_USD"),
    ],
)
def test_an_unknown_pair_names_the_nearest_that_the_account_may_see(
    venue: Simulator, told: Callable[..., str], pair: str, meant: str
) -> None:
    message = told(venue.url, pair)
    assert_says(message, rf"no candles of {pair} \(Invalid.*'instrument'\): .*{meant}")
    assert [path for _, path in venue.requests[1:]] == [
        "/v3/accounts",
        "/v3/accounts/101-004-1234567-001/instruments",
    ]


@pytest.mark.parametrize("fault", [Fault("status", 403), Fault("drop"), Fault("html", 200)])
def test_where_the_account_is_not_told_known_pairs_are_named(
    venue: Simulator, told: Callable[..., str], fault: Fault
) -> None:
    venue.faults.extend([Fault("late"), fault])
    says = r"'instrument'\): ask for another pair, the nearest known here: USD_JPY$"
    assert_says(told(venue.url, "JPY_USD"), says)


def test_nearest_names_are_few_and_the_swapped_one_comes_alone() -> None:
    assert nearest("USD_EUR", ["USD_SEK", "USD_EUR2", "EUR_USD"]) == ["EUR_USD"]
    assert len(nearest("EUR_US", [f"EUR_US{n}" for n in range(9)])) == 3
    assert nearest("BTC_USD", ["A"]) == []


def test_a_refused_connection_is_called_so(told: Callable[..., str], home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    says = rf"127.0.0.1:{port} refuses the connection\): check SEP_OANDA_URL"
    assert_says(told(f"http://127.0.0.1:{port}"), says)


def test_a_name_without_an_address_is_called_so(told: Callable[..., str], home: Path) -> None:
    says = r"no address is known of the name nowhere.invalid\): check this machine's network"
    assert_says(told("https://nowhere.invalid"), says)


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    key: ec.EllipticCurvePrivateKey, folder: Path, address: str, *, days: int = 1
) -> Path:
    """Certificate and key in one file, as `SSL_CERT_FILE` and the server want them."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "venue of a test")])
    now = datetime.now(UTC)
    named = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(named, critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "venue.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.fixture
def by_tls(
    market: Market, home: Path, key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> Callable[..., Any]:
    """A venue by https; its certificate names an address."""

    def serve(address: str = "127.0.0.1", **options: Any) -> Any:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(key, tmp_path, address, **options))
        return Simulator(market, token=TOKEN).serve(context)

    return serve


def test_candles_come_by_tls_where_the_certificate_is_trusted(
    by_tls: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "venue.pem"))
    with by_tls() as venue:
        assert venue.url.startswith("https://")
        assert read(venue.url).height > 200


@pytest.mark.parametrize(
    ("trusted", "options", "reason"),
    [
        (False, {}, "self-signed certificate"),
        (True, {"address": "127.0.0.2"}, "(?i)ip address mismatch"),
        (True, {"days": -1}, "certificate has expired"),
    ],
)
def test_a_certificate_that_is_not_to_be_trusted_is_named_at_once(
    by_tls: Callable[..., Any],
    told: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,
    options: dict[str, Any],
    reason: str,
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "venue.pem"))
    with by_tls(**options) as venue:
        message = told(venue.url)
        assert venue.requests == []
    port = venue.url.rpartition(":")[2]
    assert_says(message, rf"the certificate of 127.0.0.1:{port} is not to be trusted")
    assert_says(message, rf"{reason}.*check SEP_OANDA_URL.*SSL_CERT_FILE")


def test_a_venue_without_tls_is_called_so(venue: Simulator, told: Callable[..., str]) -> None:
    message = told(venue.url.replace("http:", "https:"))
    assert_says(message, r"no TLS with 127.0.0.1:\d+: .*\): check SEP_OANDA_URL")


def test_a_file_of_certificates_that_is_none_is_called_so(
    venue: Simulator, told: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert_says(told(venue.url.replace("http:", "https:")), "SSL_CERT_FILE")
