"""Clients that are slow, stall, lie or leave: real gunicorn processes, raw sockets."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from sqlalchemy import text

from app.store.database import make_engine
from tests.app.api.gunicorn_app import SPACE_SETTING
from tests.app.api.test_gunicorn import DEADLINE_S, running, wait_for
from tests.app.api.world import Shop

COMMAND = ["-m", "gunicorn", "--config", "python:app.gunicorn_conf", "tests.app.api.gunicorn_app:make()"]
THREADS = 3
MAX_UPLOAD = 2 * 2**20


@dataclass(frozen=True)
class Service:
    """A service of one worker with few threads and short patience."""

    url: str
    bearer: dict[str, str]
    photo: bytes
    process: subprocess.Popen[str]

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=DEADLINE_S)

    def form(self) -> bytes:
        """A search's body."""
        return (
            b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
            + self.photo
            + b"\r\n--x--\r\n"
        )

    def head(self, further: str = "") -> bytes:
        """A search's head, without the length of its body unless ``further`` has it."""
        lines = [
            "POST /v1/search HTTP/1.1",
            "Host: shop",
            f"Authorization: {self.bearer['Authorization']}",
            "Content-Type: multipart/form-data; boundary=x",
        ]
        return ("\r\n".join(lines) + "\r\n" + further + "\r\n").encode()

    def search(self) -> requests.Response:
        return requests.post(
            f"{self.url}/v1/search", files={"photo": self.photo}, headers=self.bearer, timeout=DEADLINE_S
        )


def answer_of(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case and body of the next final answer."""
    with sock.makefile("rb") as stream:
        while True:
            status = int(stream.readline().split()[1])
            headers: dict[str, str] = {}
            while (line := stream.readline().strip()) != b"":
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            if status >= 200:
                return status, headers, stream.read(int(headers["content-length"]))


@pytest.fixture(scope="module")
def service(shop: Shop, service_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("slow")
    settings = {
        "PICKTURE_DATABASE_URL": service_database_url,
        "PICKTURE_THREADS": str(THREADS),
        "PICKTURE_DECODERS": "1",
        "PICKTURE_MAX_UPLOAD_BYTES": str(MAX_UPLOAD),
        "PICKTURE_UPLOAD_MEMORY_BYTES": str(4 * 2**20),
        SPACE_SETTING: str(shop.space_id),
    }
    with running(COMMAND, settings, home) as (url, process):
        wait_for(f"{url}/readyz", 200, process, home)
        token = requests.post(f"{url}/v1/sessions", json={"app_key": shop.app_key}, timeout=DEADLINE_S).json()["token"]
        yield Service(url, {"Authorization": f"Bearer {token}"}, shop.photos["cap"], process)
    assert "Traceback" not in (home / "service.log").read_text()


def test_more_stalled_uploads_than_threads_hold_nobody_up(service: Service) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(service.connect())) for _ in range(5 * THREADS)]
        form = service.form()
        for place, sock in enumerate(slow):
            part = form[: len(form) * place // len(slow)]
            sock.sendall(service.head(f"Content-Length: {len(form)}\r\n") + part)
        for _ in range(5):
            assert service.search().status_code == 200
        assert requests.get(f"{service.url}/healthz", timeout=DEADLINE_S).status_code == 200
        assert select.select(slow, [], [], 0)[0] == [], "the stalled ones were to stay"
        # The slow ones are answered too, as soon as they are done.
        slow[-1].sendall(form[len(form) * (len(slow) - 1) // len(slow) :])
        status, _, body = answer_of(slow[-1])
        assert status == 200
        assert json.loads(body)["candidates"][0]["product"]["sku"] == "cap"


def counted(service: Service, name: str) -> float:
    """A metric without labels."""
    [line] = [
        line
        for line in requests.get(f"{service.url}/metrics", timeout=DEADLINE_S).text.splitlines()
        if line.startswith(f"{name} ")
    ]
    return float(line.split()[1])


def test_a_full_house_refuses_a_search_that_has_come_without_giving_it_a_thread(
    service: Service, service_database_url: str
) -> None:
    refused = counted(service, "pickture_searches_refused_total")
    database = make_engine(service_database_url)
    with ThreadPoolExecutor(1) as phone:
        with database.begin() as connection:
            connection.execute(text("LOCK TABLE queries"))  # nobody's answer can be remembered
            in_work = phone.submit(service.search)
            give_up = time.monotonic() + DEADLINE_S
            while counted(service, "pickture_searches_in_work") < 1:
                assert time.monotonic() < give_up
            answer = service.search()
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
            assert answer.json()["code"] == "overloaded" and "places" not in answer.text
            form = service.form()
            with closing(service.connect()) as sock:
                sock.sendall(service.head(f"Content-Length: {len(form)}\r\nOrigin: https://shop.example\r\n") + form)
                status, headers, body = answer_of(sock)
            # A page's search is refused as well, by the application, which knows the headers that pages need.
            assert status == 503 and json.loads(body)["code"] == "overloaded"
            assert "content-security-policy" in headers
        assert in_work.result().status_code == 200
    database.dispose()
    assert counted(service, "pickture_searches_refused_total") == refused + 2
    assert service.search().status_code == 200


def test_when_memory_is_short_the_slowest_upload_goes_and_not_the_newest(service: Service) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(service.connect())) for _ in range(3)]
        for sock in slow:  # 1.5 MiB each, of 4 that there are
            sock.sendall(service.head(f"Content-Length: {MAX_UPLOAD}\r\n") + b"x" * (3 * 2**19))
            time.sleep(0.01)  # so that it is clear who came first
        status, headers, body = answer_of(slow[0])
        assert status == 503 and int(headers["retry-after"]) > 0
        assert json.loads(body)["code"] == "overloaded"
        assert service.search().status_code == 200


def test_a_search_sent_in_chunks_is_answered_and_the_next_one_on_the_same_connection_too(service: Service) -> None:
    form = service.form()
    cuts = [0, 1, 700, len(form) // 2, len(form)]
    chunked = b"".join(
        b"%x;why=not\r\n%s\r\n" % (end - start, form[start:end]) for start, end in itertools.pairwise(cuts)
    )
    whole = service.head("Transfer-Encoding: chunked\r\n") + chunked + b"0\r\nX-Checksum: ignored\r\n\r\n"
    with closing(service.connect()) as sock:
        for part in (whole[:50], whole[50:900], whole[900:]):
            sock.sendall(part)
        assert answer_of(sock)[0] == 200
        sock.sendall(whole)
        assert answer_of(sock)[0] == 200


def test_requests_sent_ahead_are_answered_in_turn(service: Service) -> None:
    form = service.form()
    search = service.head(f"Content-Length: {len(form)}\r\n") + form
    small = b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n"
    with closing(service.connect()) as sock:
        sock.sendall(small + search + small + search[:100])
        sock.settimeout(DEADLINE_S)
        with sock.makefile("rb") as stream:
            found = []
            for number in range(4):
                found.append(int(stream.readline().split()[1]))
                length = 0
                while (line := stream.readline().strip()) != b"":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                stream.read(length)
                if number == 2:
                    sock.sendall(search[100:])
        assert found == [200, 200, 200, 200]


def test_a_client_that_waits_to_be_told_to_go_on_is_told_once(service: Service) -> None:
    form = service.form()
    with closing(service.connect()) as sock, sock.makefile("rb") as stream:
        sock.sendall(service.head(f"Content-Length: {len(form)}\r\nExpect: 100-continue\r\n"))
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n" and stream.readline() == b"\r\n"
        sock.sendall(form)
        assert stream.readline().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /v1/search HTTP/1.1\r\nHost: shop\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /v1/search HTTP/1.1\r\nHost: shop\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/search HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", 401),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: shop\r\n\r\n", 414),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_what_no_server_should_accept_is_refused_at_once(service: Service, request_bytes: bytes, status: int) -> None:
    with closing(service.connect()) as sock:
        sock.sendall(request_bytes)
        assert sock.makefile("rb").readline().split()[1] == str(status).encode()


@pytest.mark.parametrize("body", [b"5\r\nhello\r\nnonsense\r\n", b"5\r\nhello!!", b"0\r\nTrailer: x\r\n\r\n"])
def test_a_malformed_body_is_a_bad_request(service: Service, body: bytes) -> None:
    with closing(service.connect()) as sock:
        sock.sendall(service.head("Transfer-Encoding: chunked\r\n") + body)
        status, _, problem = answer_of(sock)
        assert (status, json.loads(problem)["code"]) == (400, "bad_request")


def test_a_body_too_large_is_refused_before_it_has_come(service: Service) -> None:
    with closing(service.connect()) as sock:
        sock.sendall(service.head(f"Content-Length: {MAX_UPLOAD + 1}\r\n") + b"x" * 1000)
        status, _, body = answer_of(sock)
        assert (status, json.loads(body)["code"]) == (413, "request_too_large")


def test_clients_that_leave_are_forgotten(service: Service) -> None:
    fds = Path("/proc") / children_of(service.process.pid)[0] / "fd"
    before = len(list(fds.iterdir()))
    for place in range(30):
        with closing(service.connect()) as sock:
            sock.sendall(service.head("Content-Length: 1000\r\n")[: 40 * (place % 5)])
    limit = time.monotonic() + DEADLINE_S
    while len(list(fds.iterdir())) > before:
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert service.search().status_code == 200


def children_of(pid: int) -> list[str]:
    """The processes that a process has started."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_decoder_killed_under_load_costs_nothing(service: Service) -> None:
    worker = children_of(service.process.pid)[0]
    for _ in range(3):
        for nursery in children_of(int(worker)):
            for decoder in children_of(int(nursery)):
                os.kill(int(decoder), signal.SIGKILL)
        assert service.search().status_code == 200


def test_an_upload_that_takes_too_long_is_told_so(shop: Shop, service_database_url: str, tmp_path: Path) -> None:
    settings = {
        "PICKTURE_DATABASE_URL": service_database_url,
        "PICKTURE_UPLOAD_SECONDS": "5",
        "PICKTURE_DECODERS": "0",
        SPACE_SETTING: str(shop.space_id),
    }
    with running(COMMAND, settings, tmp_path) as (url, process):
        wait_for(f"{url}/readyz", 200, process, tmp_path)
        service = Service(url, {"Authorization": "Bearer nobody"}, b"", process)
        with closing(service.connect()) as sock:
            sock.sendall(service.head("Content-Length: 100000\r\n") + b"x" * 1000)
            status, headers, body = answer_of(sock)
            assert (status, headers["connection"]) == (408, "close")
            problem = json.loads(body)
            assert (problem["code"], problem["status"]) == ("request_timeout", 408)
            assert problem["instance"] == f"urn:uuid:{headers['x-request-id']}"
            assert sock.recv(1) == b""


def test_a_stop_ends_what_is_in_work_and_takes_nothing_new(
    shop: Shop, service_database_url: str, tmp_path: Path
) -> None:
    settings = {
        "PICKTURE_DATABASE_URL": service_database_url,
        "PICKTURE_WORKERS": "2",
        "PICKTURE_DECODERS": "1",
        SPACE_SETTING: str(shop.space_id),
    }
    with running(COMMAND, settings, tmp_path) as (url, process):
        wait_for(f"{url}/readyz", 200, process, tmp_path)
        token = requests.post(f"{url}/v1/sessions", json={"app_key": shop.app_key}, timeout=DEADLINE_S).json()["token"]
        service = Service(url, {"Authorization": f"Bearer {token}"}, shop.photos["cap"], process)
        form = service.form()
        with closing(service.connect()) as begun, closing(service.connect()) as idle:
            begun.sendall(service.head(f"Content-Length: {len(form)}\r\n") + form[:500])
            assert service.search().status_code == 200
            process.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b"", "nothing had been asked on it"
            with pytest.raises(requests.ConnectionError):
                limit = time.monotonic() + DEADLINE_S
                while time.monotonic() < limit:
                    requests.get(f"{url}/healthz", timeout=DEADLINE_S)
            begun.sendall(form[500:])
            assert answer_of(begun)[0] == 200
        assert process.wait(DEADLINE_S) == 0
    assert "Traceback" not in (tmp_path / "service.log").read_text()
