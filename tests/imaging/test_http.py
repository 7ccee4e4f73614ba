from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xsaga
from tests.survey_server import Fault, FaultPlan, Seen, SurveyServer, survey_server
from xsaga.errors import ImagingError
from xsaga.imaging.http import HttpClient
from xsaga.imaging.http_faults import HttpFailure
from xsaga.imaging.http_limits import HttpOptions, RequestPace

QUICK = HttpOptions(
    rate=None, connect_timeout=2, read_timeout=5, deadline=10, download_deadline=10, retries=2
)


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    data = bytes(range(256)) * 1000
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file.bin").write_bytes(data)
    return data


@pytest.fixture
def serve(tmp_path: Path, content: bytes) -> Callable[..., object]:
    assert content

    @contextmanager
    def serving(faults: FaultPlan = ()) -> Iterator[tuple[SurveyServer, str]]:
        with survey_server(tmp_path / "served", faults=faults) as server:
            yield server, f"{server.url}/file.bin"

    return serving


@pytest.fixture
def client(clock: Clock) -> Iterator[Callable[..., HttpClient]]:
    made: list[HttpClient] = []

    def make(**changes: object) -> HttpClient:
        http = HttpClient(
            replace(QUICK, **changes),  # type: ignore[arg-type]
            clock=clock,
            sleep=clock.sleep,
            jitter=lambda: 1.0,
        )
        made.append(http)
        return http

    yield make
    for http in made:
        http.close()


def test_a_request_names_the_tool_and_returns_the_bytes_as_sent(serve, client, content) -> None:
    with serve() as (server, url):
        answer = client().get(url, {"a": "1"})
    assert answer.body == content
    assert answer.headers["content-length"] == str(len(content))
    assert server.seen[0].headers["User-Agent"].startswith(f"xsaga/{xsaga.__version__} ")
    assert server.seen[0].headers["Accept-Encoding"] == "identity"
    assert server.seen[0].query == {"a": "1"}


def test_one_connection_serves_many_requests_failures_included(serve, client) -> None:
    with serve([None, Fault(status=503), None, Fault(status=404)]) as (server, url):
        http = client()
        http.get(url)
        http.get(url)
        with pytest.raises(HttpFailure):
            http.get(url)
        http.get(url)
        assert len(server.seen) == 5
    assert len({seen.client_port for seen in server.seen}) == 1


@given(rate=st.floats(0.1, 1000), gaps=st.lists(st.floats(0, 20), min_size=1, max_size=30))
def test_requests_are_never_closer_than_the_rate_allows(rate: float, gaps: list[float]) -> None:
    clock = Clock()
    pace = RequestPace(rate, clock=clock, sleep=clock.sleep)
    times = []
    for gap in gaps:
        clock.now += gap
        pace.wait()
        times.append(clock.now)
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert all(step >= 1 / rate - 1e-9 for step in steps)
    # and no longer than needed
    assert times[-1] <= 100 + sum(gaps) + len(gaps) / rate + 1e-6


def test_threads_share_the_rate(clock) -> None:
    taken: list[float] = []
    pace = RequestPace(4, clock=clock, sleep=clock.sleep)

    def take(_: int) -> None:
        pace.wait()
        taken.append(clock.now)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(8)))
    assert clock.now == 100 + 7 / 4
    assert sum(clock.sleeps) == 7 / 4


def test_a_hold_is_for_those_who_wait_already(clock) -> None:
    pace = RequestPace(1, clock=clock, sleep=lambda seconds: slept(seconds))
    held = False

    def slept(seconds: float) -> None:
        nonlocal held
        clock.sleep(seconds)
        if not held:
            held = True
            pace.hold(30)

    pace.wait()
    pace.wait()
    assert clock.now == 131
    pace.wait()
    assert clock.now == 132


def test_sleeping_too_long_brings_no_requests_together(clock) -> None:
    pace = RequestPace(10, clock=clock, sleep=lambda seconds: clock.sleep(seconds + 0.07))
    times = []
    for _ in range(5):
        pace.wait()
        times.append(clock.now)
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(times))


def test_retries_keep_to_the_rate(serve, client, clock) -> None:
    with serve([Fault(status=500)]) as (_, url):
        http = client(rate=0.1, backoff=1.0)
        http.get(url)
        http.get(url)
    assert sum(clock.sleeps) == pytest.approx(20)


def test_no_more_connections_than_allowed(serve) -> None:
    pairs = threading.Barrier(2)  # each answer waits until a second request is in flight

    def paired(_: Seen) -> None:
        pairs.wait(timeout=10)

    with serve(paired) as (server, url), HttpClient(replace(QUICK, connections=2)) as http:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: http.get(url), range(8)))
        assert len(answers) == 8
        assert server.peak == 2
        assert len({seen.client_port for seen in server.seen}) == 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_faults_are_tried_again_with_growing_waits(serve, client, clock, status) -> None:
    with serve([Fault(status=status)] * 4) as (server, url):
        http = client(retries=4, backoff=1.0, max_backoff=3.0)
        assert http.get(url).body
        assert len(server.seen) == 5
    assert clock.sleeps == [1.0, 2.0, 3.0, 3.0]


def test_waits_are_spread_by_the_jitter(serve, clock) -> None:
    options = replace(QUICK, backoff=1.0)
    with (
        serve([Fault(status=500)] * 2) as (_, url),
        HttpClient(options, clock=clock, sleep=clock.sleep, jitter=lambda: 0.0) as http,
    ):
        http.get(url)
    assert clock.sleeps == [0.5, 1.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_refusals_are_final(serve, client, status) -> None:
    with serve([Fault(status=status)]) as (server, url):
        with pytest.raises(HttpFailure, match=f"HTTP status {status}") as caught:
            client().get(url)
        assert len(server.seen) == 1
    assert (caught.value.status, caught.value.attempts) == (status, 1)
    assert caught.value.gone == (status in (404, 410))


def test_a_status_can_be_declared_final(serve, client) -> None:
    with serve([Fault(status=500)]) as (server, url):
        with pytest.raises(HttpFailure):
            client().get(url, final=(500,))
        assert len(server.seen) == 1


def test_a_fault_that_stays_is_reported_with_the_number_of_tries(serve, client) -> None:
    with serve(lambda _: Fault(status=500)) as (server, url):
        with pytest.raises(HttpFailure, match=r"file\.bin: HTTP status 500 \(3 tries\)") as caught:
            client().get(url)
        assert len(server.seen) == 3
    assert (caught.value.status, caught.value.attempts, caught.value.gone) == (500, 3, False)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds_is_obeyed(serve, client, clock, status) -> None:
    with serve([Fault(status=status, headers={"Retry-After": "17"})]) as (_, url):
        client().get(url)
    assert sum(clock.sleeps) == pytest.approx(17)


def test_retry_after_as_a_date_is_obeyed(serve, client, clock) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    with serve([Fault(status=503, headers={"Retry-After": date})]) as (_, url):
        client().get(url)
    assert 40 < sum(clock.sleeps) <= 60


def test_retry_after_is_capped(serve, client, clock) -> None:
    with serve([Fault(status=429, headers={"Retry-After": "86400"})]) as (_, url):
        client(max_retry_after=30).get(url)
    assert sum(clock.sleeps) == pytest.approx(30)


def test_an_unreadable_retry_after_counts_as_none(serve, client, clock) -> None:
    with serve([Fault(status=429, headers={"Retry-After": "soon"})]) as (_, url):
        client(backoff=2.0).get(url)
    assert clock.sleeps == [2.0]


def test_retry_after_holds_back_later_requests_too(serve, client, clock) -> None:
    with serve([Fault(status=429, headers={"Retry-After": "17"})]) as (_, url):
        http = client(retries=0)
        with pytest.raises(HttpFailure):
            http.get(url)
        http.get(url)
    assert sum(clock.sleeps) == pytest.approx(17)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut_after=1000),
        Fault(cut_after=1000, reset=True),
        Fault(cut_after=0),
        Fault(headers={"Content-Length": "300000"}, cut_after=256_000),
    ],
    ids=["cut", "reset", "no body", "less than announced"],
)
def test_short_bodies_are_asked_for_again_from_their_start(serve, client, content, fault) -> None:
    with serve([fault, fault]) as (server, url):
        assert client().get(url).body == content
        assert len(server.seen) == 3
    with serve(lambda _: fault) as (_, url), pytest.raises(HttpFailure) as caught:
        client().get(url)
    assert caught.value.status is None
    assert any(word in caught.value.reason for word in ("cut", "ended", "failed"))


def test_a_refused_connection_is_a_failure_without_status(serve, client) -> None:
    with serve() as (_, url):
        pass
    with pytest.raises(HttpFailure, match=r"connection refused \(3 tries\)") as caught:
        client().get(url)
    assert caught.value.status is None


def test_a_server_that_never_answers_is_given_up(serve, client) -> None:
    with serve(lambda _: Fault(hang=True)) as (server, url):
        with pytest.raises(HttpFailure, match=r"no byte from the server within 0\.1 s"):
            client(read_timeout=0.1, retries=1).get(url)
        assert len(server.seen) == 2


@pytest.mark.parametrize(
    "fault", [Fault(trickle=0.01), Fault(trickle_headers=0.01)], ids=["body", "headers"]
)
def test_an_answer_that_trickles_ends_at_the_deadline(serve, client, fault) -> None:
    with serve([fault]) as (server, url):
        with pytest.raises(HttpFailure, match=r"no complete answer within 0\.2 s") as caught:
            client(deadline=0.2, retries=0).get(url)
        assert caught.value.status is None
        assert client(deadline=10).get(url).body  # and the next one is not disturbed
        assert len(server.seen) == 2


def test_close_ends_requests_in_flight(serve) -> None:
    asked = threading.Event()

    def hang(_: Seen) -> Fault:
        asked.set()
        return Fault(hang=True)

    with serve(hang) as (_, url), ThreadPoolExecutor(1) as pool:
        http = HttpClient(replace(QUICK, read_timeout=60, deadline=60))
        failed = pool.submit(http.get, url)
        assert asked.wait(10)
        http.close()
        with pytest.raises(HttpFailure, match="stopped"):
            failed.result(timeout=10)
        with pytest.raises(HttpFailure, match="stopped"):
            http.get(url)


def test_close_ends_waits(serve) -> None:
    busy = Fault(status=429, headers={"Retry-After": "100"})
    with serve([busy]) as (server, url), ThreadPoolExecutor(1) as pool:
        http = HttpClient(replace(QUICK, retries=0))
        with pytest.raises(HttpFailure, match="429"):
            http.get(url)
        waiting = pool.submit(http.get, url)
        http.close()
        with pytest.raises(HttpFailure, match="stopped"):
            waiting.result(timeout=10)
        assert len(server.seen) == 1


def test_a_longer_answer_than_is_taken_is_refused_at_once(serve, client) -> None:
    with serve([Fault(headers={"Content-Length": ""})]) as (server, url):
        with pytest.raises(HttpFailure, match=r"an answer of more than .*bytes") as caught:
            client().get(url, max_bytes=1000)
        assert len(server.seen) == 1
    assert caught.value.status == 200


def test_a_length_that_is_too_long_may_be_a_passing_fault(serve, client, content) -> None:
    with serve([Fault(headers={"Content-Length": "99999999"})]) as (server, url):
        assert client().get(url, max_bytes=len(content)).body == content
        assert len(server.seen) == 2
    with serve() as (_, url), pytest.raises(HttpFailure, match=r"an answer of .*bytes"):
        client().get(url, max_bytes=10)


def test_an_answer_without_length_is_read_to_its_end(serve, client, content) -> None:
    with serve([Fault(headers={"Content-Length": ""})]) as (_, url):
        assert client().get(url).body == content


def test_redirects_on_the_same_host_are_followed(serve, client, content) -> None:
    with serve([Fault(status=301, headers={"Location": "/file.bin?b=2"})]) as (server, url):
        assert client().get(url, {"a": "1"}).body == content
    assert [seen.query for seen in server.seen] == [{"a": "1"}, {"b": "2"}]


def test_redirects_to_another_host_are_not_followed(serve, client) -> None:
    with serve() as (other, target):
        away = Fault(status=302, headers={"Location": f"{target}?token=hush"})
        with (
            serve([away] * 3) as (_, url),
            pytest.raises(HttpFailure, match="redirected to another host") as caught,
        ):
            client().get(url)
        assert other.seen == []
    assert "hush" not in str(caught.value)
    assert caught.value.refused


@pytest.mark.parametrize("target", ["file://{path}", "file:///{path}", "ftp://127.0.0.1/{path}"])
def test_redirects_into_files_are_not_followed(serve, client, tmp_path, target) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush")
    away = Fault(status=302, headers={"Location": target.format(path=secret)})
    with serve([away] * 3) as (_, url), pytest.raises(HttpFailure, match="not followed"):
        client().get(url)


def test_endless_redirects_end(serve, client) -> None:
    with serve(lambda _: Fault(status=302, headers={"Location": "/file.bin"})) as (server, url):
        with pytest.raises(HttpFailure, match="more than 5 redirects"):
            client().get(url)
        assert len(server.seen) == 6


@pytest.mark.parametrize("fault", [Fault(status=403), Fault(cut_after=3), Fault(hang=True)])
def test_errors_show_no_credentials(serve, client, fault) -> None:
    with serve(lambda _: fault) as (server, url):
        secret = url.replace("127.0.0.1", "person:s3cret@127.0.0.1")
        with pytest.raises(HttpFailure) as caught:
            client(read_timeout=0.1, retries=0).get(f"{secret}?token=hush")
        assert server.seen[0].headers["Authorization"].startswith("Basic ")
    error: BaseException | None = caught.value
    assert "s3cret" not in str(error)
    assert "person" not in str(error)
    assert "hush" not in str(error)
    assert "127.0.0.1" in str(error)


@pytest.mark.parametrize("url", ["ftp://host/x", "file.bin", "http://"])
def test_other_addresses_are_refused(client, url) -> None:
    with pytest.raises(HttpFailure, match="not a usable http or https address") as caught:
        client().get(url)
    assert caught.value.attempts == 1


def test_answers_that_fail_the_check_are_asked_for_again(serve, client, content) -> None:
    def check(body: bytes) -> str:
        return "" if body == content else "not what was expected"

    with serve([Fault(body=b"<html>" + content)]) as (server, url):
        assert client().get(url, check=check).body == content
        assert len(server.seen) == 2
    with (
        serve(lambda _: Fault(body=b"<html>")) as (_, url),
        pytest.raises(HttpFailure, match="not what was expected") as caught,
    ):
        client().get(url, check=check)
    assert caught.value.status == 200


def test_a_download_is_in_place_only_when_complete(serve, client, content, tmp_path) -> None:
    target = tmp_path / "cache" / "deep" / "file.bin"
    longer = Fault(body=b"x" * (len(content) + 1))
    faults = [Fault(cut_after=5000), Fault(keep=100), longer]
    seen_at_check: list[bool] = []

    def check(path: Path) -> str:
        seen_at_check.append(target.exists())
        return "" if path.read_bytes() == content else "truncated"

    with serve(faults) as (_, url):
        client(retries=3).download(url, target, check=check)
    assert target.read_bytes() == content
    assert seen_at_check == [False] * 3
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("fault", [Fault(cut_after=5000), Fault(keep=100), Fault(status=500)])
def test_a_failed_download_leaves_what_was_there(serve, client, tmp_path, fault) -> None:
    target = tmp_path / "cache" / "file.bin"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with serve(lambda _: fault) as (_, url), pytest.raises(HttpFailure):
        client().download(url, target, check=lambda path: "" if path.stat().st_size > 999 else "?")
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


def test_a_missing_file_makes_no_folder(serve, client, tmp_path) -> None:
    with serve() as (server, _), pytest.raises(HttpFailure) as caught:
        client().download(f"{server.url}/other", tmp_path / "cache" / "deep" / "other")
    assert caught.value.gone
    assert not (tmp_path / "cache").exists()


def test_a_download_that_cannot_be_written_says_where(serve, client, tmp_path) -> None:
    (tmp_path / "cache").write_text("a file")
    with serve() as (_, url), pytest.raises(ImagingError, match="cannot keep a downloaded file"):
        client().download(url, tmp_path / "cache" / "file.bin")


@pytest.mark.parametrize("wrong", [{"connections": 0}, {"rate": 0.0}, {"retries": -1}])
def test_impossible_limits_are_refused(wrong) -> None:
    with pytest.raises(ImagingError):
        HttpOptions(**wrong)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-days", "2", "-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-nodes", "-keyout", str(path.with_suffix(".key")), "-out", str(path)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".key").read_text())
    return path


def test_certificates_are_verified(certificate, client, content, tmp_path, monkeypatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with survey_server(tmp_path / "served", tls=context) as server:
        url = f"{server.url}/file.bin"
        with pytest.raises(HttpFailure, match="TLS certificate") as caught:
            client().get(url)
        assert caught.value.attempts == 1
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert client().get(url).body == content


@pytest.mark.parametrize("value", ["", "0", "false"])
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PYTHONHTTPSVERIFY"])
def test_no_environment_turns_tls_off(
    certificate, client, content, tmp_path, monkeypatch, name, value
) -> None:
    assert content
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(name, value)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with (
        survey_server(tmp_path / "served", tls=context) as server,
        pytest.raises(HttpFailure, match="TLS certificate") as caught,
    ):
        client().get(f"{server.url}/file.bin")
    assert caught.value.attempts == 1


def test_the_deadline_holds_over_tls(certificate, client, content, tmp_path, monkeypatch) -> None:
    assert content
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with (
        survey_server(tmp_path / "served", tls=context, faults=[Fault(trickle=0.01)]) as server,
        pytest.raises(HttpFailure, match="no complete answer within"),
    ):
        client(deadline=0.3, retries=0).get(f"{server.url}/file.bin")
