from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from queuepool.domain.pool import Autorestart
from queuepool.domain.spec import Http, Program, Settings, Strategy


def test_every_key_has_a_description() -> None:
    for model in (Program, Settings, Http, Strategy):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert field.description.endswith("."), name


def test_text_is_read_by_what_the_key_means() -> None:
    program = Program.model_validate(
        {
            "numprocs": "4",
            "autostart": "no",
            "autorestart": "unexpected",
            "umask": "022",
            "queue": "1",
            "stopsignal": "9",
            "timeout": "1m",
            "exitcodes": "0,2",
            "environment": {"A": "yes", "B": "010"},
            "verbose": "yes",
            "user": "33",
        }
    )
    assert (program.numprocs, program.autostart, program.autorestart) == (4, False, Autorestart.UNEXPECTED)
    assert (program.umask, program.queue, program.stopsignal, program.timeout) == (0o22, ("1",), 9, 60)
    assert (program.exitcodes, program.environment, program.verbose, program.user) == (
        (0, 2),
        {"A": "yes", "B": "010"},
        1,
        "33",
    )


def test_values_of_python_are_taken_too() -> None:
    program = Program.model_validate(
        {"numprocs": 4, "autorestart": False, "queue": ["a", "b"], "user": 33, "json": True}
    )
    assert (program.autorestart, program.queue, program.user, program.json_) == (
        Autorestart.NEVER,
        ("a", "b"),
        "33",
        True,
    )


@pytest.mark.parametrize(
    "program",
    [
        {"numprocs": "-1"},
        {"numprocs": "1000000000"},
        {"numprocs": "x"},
        {"numprocs": "1.5"},
        {"autorestart": "maybe"},
        {"nice": "20"},
        {"connection": "--x"},
        {"connection": "a b"},
        {"connection": ""},
        {"queue": "a,,b"},
        {"type": "x"},
        {"strategy": {"max_surge": 0, "max_unavailable": 0}},
        {"log_prefix": "date"},
        {"log_format": "xml"},
        {"stdout_logfile": ""},
        {"verbose": "4"},
        {"backoff": []},
        {"unknown": "1"},
        {"stdout_logfile_rotate": "weekly"},
        {"env_file": [1]},
        {"priority": "1e9"},
    ],
)
def test_a_wrong_value_is_refused(program: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Program.model_validate(program)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a/b", "../x", "-x", ".x", "all", "ALL", "x" * 101, "ü", "a\n"])
def test_a_program_cannot_be_called_so(name: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"programs": {name: {}}})
    with pytest.raises(ValidationError):
        Settings.model_validate({"groups": {name: []}})


@pytest.mark.parametrize(
    ("given", "listen"),
    [
        ("9001", "127.0.0.1:9001"),
        ("localhost:80", "localhost:80"),
        ("[::1]:9001", "[::1]:9001"),
        (9001, "127.0.0.1:9001"),
    ],
)
def test_this_machine_alone_may_be_listened_on_without_credentials(given: object, listen: str) -> None:
    assert Http.model_validate({"listen": given}).listen == listen


@pytest.mark.parametrize("given", ["0.0.0.0:9001", ":9001", "*:9001", "10.0.0.1:9001", "example.org:9001", "[::]:9001"])
def test_listening_further_needs_credentials(given: str) -> None:
    with pytest.raises(ValidationError, match="others can reach"):
        Http.model_validate({"listen": given})
    assert Http.model_validate({"listen": given, "username": "a", "password": "b"}).listen.endswith(":9001")


@pytest.mark.parametrize(
    "http",
    [{"username": "a"}, {"password": "b"}, {"username": "a", "password": ""}, {"listen": "x"}, {"listen": "h:0"}],
)
def test_half_of_the_credentials_is_refused(http: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Http.model_validate(http)


def test_http_has_short_forms() -> None:
    assert Settings.model_validate({"http": "true"}).http == Http()
    assert Settings.model_validate({"http": False}).http is None


def test_no_secret_is_in_a_repr_or_an_error() -> None:
    settings = Settings.model_validate(
        {
            "http": {"username": "a", "password": "hunter2"},
            "environment": {"A": "hunter2"},
            "programs": {"x": {"environment": 'A="hunter2"'}},
        }
    )
    assert "hunter2" not in repr(settings)
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"http": {"password": ["hunter2"]}, "environment": "hunter2", "user": ["hunter2"]})
    assert "hunter2" not in str(caught.value)


def test_an_engine_of_a_later_version_is_named() -> None:
    with pytest.raises(ValidationError, match="not in this version"):
        Settings.model_validate({"engine": "systemd"})
