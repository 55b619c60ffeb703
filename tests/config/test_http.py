"""The section `http:`: what it means, what contradicts itself, and that nothing of it that is secret is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from queuepool.config.explain import MASK, explain
from queuepool.config.load import load, read
from queuepool.domain.access import Listening, Role
from queuepool.errors import ConfigError

PROGRAMS = "programs: {w: {command: date}}\n"
HASH = "scrypt:32768:8:1$salt$" + "0" * 128
TOKEN_HASH = "sha256:" + "0" * 64


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def section(text: str) -> Listening | None:
    Path("queuepool.yml").write_text(f"http: {text}\n{PROGRAMS}")
    loaded = load("queuepool.yml", {"PW": "from outside"})
    assert loaded.problems == ()
    return loaded.http


def problems(text: str) -> list[str]:
    Path("queuepool.yml").write_text(f"http: {text}\n{PROGRAMS}")
    with pytest.raises(ConfigError) as caught:
        load("queuepool.yml", {})
    return list(caught.value.problems)


@pytest.mark.parametrize("text", ["true", "{}", "yes"])
def test_true_listens_on_this_machine_alone_and_knows_nobody(text: str) -> None:
    assert section(text) == Listening("127.0.0.1:9001")


@pytest.mark.parametrize("text", ["false", "no", ""])
def test_without_it_nothing_listens(text: str) -> None:
    assert section(text) is None


def test_a_username_is_short_for_one_operator() -> None:
    found = section("{listen: '*:80', username: ann, password: '${PW}'}")
    assert found is not None
    assert [(user.name, user.role, user.secret.text) for user in found.users] == [
        ("ann", Role.OPERATOR, "from outside")
    ]
    assert found.listen == "0.0.0.0:80"


def test_paths_are_those_of_the_files_directory_and_hashes_stay_as_they_are(tmp_path: Path) -> None:
    found = section(
        f"{{users: {{ann: {{password_file: pw}}, bob: {{password_hash: '{HASH}', role: operator}}}}, root_path: pool/, "
        f"tokens: {{ci: {{token_hash: '{TOKEN_HASH}'}}}}, tls_cert: cert.pem, allowed_hosts: q.example.org}}"
    )
    assert found is not None
    assert [user.secret.text for user in found.users] == [f"{tmp_path}/pw", HASH]
    assert [user.role for user in (*found.users, *found.tokens)] == [Role.VIEWER, Role.OPERATOR, Role.VIEWER]
    assert (found.tls_cert, found.tls_key) == (f"{tmp_path}/cert.pem", f"{tmp_path}/cert.pem")
    assert (found.root_path, found.allowed_hosts) == ("/pool", ("q.example.org",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{listen: '0.0.0.0:1'}", "http: listens on 0.0.0.0:1, which others can reach: give username and password"),
        ("{listen: '[::]:1'}", "http: listens on [::]:1, which others can reach: give username and password"),
        ("{listen: 'x:0'}", "http.listen: the value is not an address such as 127.0.0.1:9001"),
        ("{username: a}", "http: needs password, password_hash or password_file"),
        ("{username: a, password: ''}", "http: needs password, password_hash or password_file"),
        ("{password: a}", "http: has password, and no username"),
        ("{username: a, password: b, password_file: c}", "http: has both password and password_file: give one"),
        ("{username: a, password: b, users: {a: {password: c}}}", "http: gives a twice, as username and in users"),
        ("{users: {a: {}}}", "http.users.a: needs password, password_hash or password_file"),
        ("{users: {a: {password: x, role: admin}}}", "http.users.a.role: the value is not one of viewer, operator"),
        ("{users: {a: {password_hash: hunter2}}}", "http.users.a: has a password_hash that is none: "
         "`queuepool config password` makes one"),
        ("{users: {'a:b': {password: x}}}", "http.users.a:b: cannot be a name: one is printable, without `:`, of "
         "at most 100 characters"),
        ("{users: {a: {pasword: hunter2}}}", "http.users.a.pasword: unknown key (did you mean password?)"),
        ("{tokens: {a: {token: hunter2}}}", "http.tokens.a: has a token of less than 32 characters: "
         "`queuepool config token` makes one"),
        ("{tls_key: k}", "http: has tls_key, and no tls_cert"),
        ("{root_path: /api/v1}", "http.root_path: cannot be the root path: queuepool itself answers at /api"),
        ("{root_path: ../x}", "http.root_path: the value is not a path such as /queuepool"),
        ("{allowed_hosts: 'x:80'}", "http.allowed_hosts: must be names such as queue.example.org or *.example.org, "
         "without a port"),
        ("{trusted_proxies: nginx}", "http.trusted_proxies: must be addresses or networks such as 10.0.0.7 or "
         "10.0.0.0/8"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_with_its_place(text: str, says: str) -> None:
    found = problems(text)
    assert found == [f"queuepool.yml:1: {says}"]
    assert "hunter2" not in str(found)


def test_nothing_secret_is_shown() -> None:
    Path("queuepool.yml").write_text(
        f"http: {{username: a, password: hunter2, users: {{b: {{password_hash: '{HASH}'}}}}, "
        f"tokens: {{c: {{token: {'hunter3' * 5}}}}}}}\n{PROGRAMS}"
    )
    whole = read("queuepool.yml", {})
    shown = json.dumps(explain(whole).to_json()) + repr(whole.main.section) + repr(load("queuepool.yml", {}).http)
    assert "hunter" not in shown
    assert "0000" not in shown
    assert MASK in shown
    assert '"c"' in shown
