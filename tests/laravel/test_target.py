"""Laravel's ways of saying where a Redis is."""

import pytest

from queuepool.laravel.target import RedisTarget, php_int


@pytest.mark.parametrize(
    ("options", "where", "tls"),
    [
        ({}, "127.0.0.1:6379", False),
        ({"host": "h", "port": "6380"}, "h:6380", False),
        ({"host": "tls://h", "port": 1}, "h:1", True),
        ({"host": "h", "scheme": "tls"}, "h:6379", True),
        ({"host": "/run/redis.sock", "port": 0}, "/run/redis.sock", False),
        ({"host": "unix:///run/redis.sock"}, "/run/redis.sock", False),
        ({"scheme": "unix", "path": "/run/r.sock", "host": None}, "/run/r.sock", False),
        ({"host": "[::1]"}, "[::1]:6379", False),
        ({"host": "::1", "port": None}, "[::1]:6379", False),
    ],
)
def test_every_form_of_an_address_is_understood(options: dict[str, object], where: str, tls: bool) -> None:
    target = RedisTarget.from_options(options)
    assert (target.where, target.tls) == (where, tls)


def test_passwords_come_alone_or_with_a_user_and_are_never_shown() -> None:
    alone = RedisTarget.from_options({"password": "s3cret", "username": ""})
    assert (alone.username, alone.password) == (None, "s3cret")
    both = RedisTarget.from_options({"password": ["me", "s3cret"]})
    assert (both.username, both.password) == ("me", "s3cret")
    assert RedisTarget.from_options({"password": "", "username": "me"}).username is None
    assert "s3cret" not in repr(alone) + repr(both)


@pytest.mark.parametrize(
    ("given", "number"), [("12", 12), (" 7x", 7), ("x", 0), (None, 9), ("", 9), (3.9, 3), (True, 1), ("-1", -1)]
)
def test_numbers_are_read_as_php_reads_them(given: object, number: int) -> None:
    assert php_int(given, 9) == number
