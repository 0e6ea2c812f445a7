"""`mta tls self-signed`."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from mta.cli.tls import self_signed
from mta.config.load import load
from mta.daemon.certificates import Pair, describe
from mta.server.tls import server_context
from tests.instance import CONFIGURATION, mta


def test_the_pair_is_good_for_a_server_and_a_client_that_trusts_it() -> None:
    certificate, key = self_signed("mx.example.org", 10)
    theirs = server_context(certificate, key)
    ours = ssl.create_default_context(cadata=certificate.decode())
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ours.wrap_bio(to_client, to_server, server_hostname="mx.example.org")
    server = theirs.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() == "TLSv1.3"


def test_a_name_too_long_for_a_common_name_is_an_alternative_name() -> None:
    hostname = ".".join(["label"] * 20)
    certificate, key = self_signed(hostname, 10)
    assert describe(Pair(certificate.decode(), key.decode())).names == [hostname]


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "mta.conf"
    path.write_text(CONFIGURATION)
    return path


def test_it_writes_what_the_configuration_can_use(configuration: Path) -> None:
    said = mta("-f", str(configuration), "tls", "self-signed").stdout
    configuration.write_text(CONFIGURATION + said)
    settings = load(configuration).settings
    assert settings.tls.certificate == configuration.parent / "mta.crt"
    assert settings.tls.key == configuration.parent / "mta.key"
    assert (configuration.parent / "mta.key").stat().st_mode & 0o777 == 0o600
    assert "TLS: mx.example.org, until " in mta("-f", str(configuration), "-t").stdout


def test_a_configuration_that_asks_for_tls_already_is_helped(configuration: Path) -> None:
    configuration.write_text(CONFIGURATION + 'pop3s: { listen = [ "127.0.0.1:0" ] }\n')
    assert mta("-f", str(configuration), "-t", check=False).returncode == 78
    said = mta("-f", str(configuration), "tls", "self-signed").stdout
    configuration.write_text(configuration.read_text() + said)
    mta("-f", str(configuration), "-t")


@pytest.mark.parametrize("existing", ["mta.crt", "mta.key"])
def test_it_replaces_nothing(configuration: Path, existing: str) -> None:
    path = configuration.parent / existing
    path.write_text("precious")
    done = mta("-f", str(configuration), "tls", "self-signed", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"mta: {path}: exists already")
    assert path.read_text() == "precious"
    assert {each.name for each in configuration.parent.iterdir()} == {"mta.conf", existing}


def test_with_a_name_it_needs_no_configuration(tmp_path: Path) -> None:
    mta("-f", "none", "tls", "self-signed", "--hostname", "Bücher.example", "--out", str(tmp_path))
    text = (tmp_path / "mta.crt").read_text()
    assert describe(Pair(text, "")).names == ["xn--bcher-kva.example"]


@pytest.mark.parametrize(
    "words", [["--hostname", "a b"], ["--days", "0"], ["--days", "4000"], ["--days", "x"]]
)
def test_wrong_usage(words: list[str]) -> None:
    assert mta("tls", "self-signed", *words, check=False).returncode == 2
