"""Our reading of .env against the parser that Laravel uses, vlucas/phpdotenv."""

import base64
import json
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis.strategies import lists, sampled_from, text

from queuepool.laravel import dotenv
from tests.support.laravel import PHP

PARSER = r"""
require 'Dotenv/autoload.php';
while (($line = fgets(STDIN)) !== false) {
    try {
        $parsed = (object) array_filter(Dotenv\Dotenv::parse(base64_decode($line)), 'is_string');
    } catch (Dotenv\Exception\InvalidFileException $e) {
        $parsed = null;
    }
    echo json_encode($parsed), "\n";
}
"""


@pytest.fixture(scope="module")
def phpdotenv() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([*PHP, "-r", PARSER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def asked(phpdotenv: subprocess.Popen[bytes], content: str) -> dict[str, str] | None:
    """What PHP reads in the file; None: it refuses it."""
    assert phpdotenv.stdin is not None
    assert phpdotenv.stdout is not None
    phpdotenv.stdin.write(base64.b64encode(content.encode()) + b"\n")
    phpdotenv.stdin.flush()
    return json.loads(phpdotenv.stdout.readline())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def version(phpdotenv: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Which phpdotenv this is, told by what was new in 5.5 and in 5.7: nothing in the package says so."""
    if asked(phpdotenv, 'A="never closed') is None:
        return (5, 8)
    return (5, 5) if asked(phpdotenv, "é=1") == {"é": "1"} else (5, 4)


PIECES = [
    "A=", "B=", "NAME=", "export C=", "'D'=", '"E"=', "F", "=", "1", "word", "p#ss", " ", "  ", "\t", "\n", "\r\n",
    "\r", "#", "# note", "'", '"', "\\", "\\n", "\\t", '\\"', "\\$", "\\x", "$", "${A}", "${B}", "${NONE}", "${A${B}}",
    "null", "é", "a=b", "\n\n", 'G="', '"\n', "\n#x\n", "exportH=", ".x-y=", "(true)",
    "export I=", "é=", "ª=", "ǅ=", '\n"',
]  # fmt: skip


def named(variables: dict[str, str] | None) -> dict[str, str] | None:
    """Without names that are numbers: PHP makes them positions of an array, and phpdotenv then counts them anew."""
    return variables and {name: value for name, value in variables.items() if not name.isdigit()}


@pytest.mark.php
@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=lists(sampled_from(PIECES) | text(alphabet="AB=x#'\"\\$ {}\n", max_size=4), max_size=14))
@example(pieces=['A="two\nlines"\nB=${A}'])
@example(pieces=["A=x\nB=A\nNAME=${${B}}"])
@example(pieces=['A="never closed\nB=1'])
@example(pieces=["A='it''s'"])
@example(pieces=["1", "=", "\n", "A=x"])
@example(pieces=['A="a\\\\"\nB=${A}${A}'])
@example(pieces=['="', "\n", 'G="'])
@example(pieces=['A=1 # B="x\nC=2'])
@example(pieces=['A="x\n" # end\nB=2'])
def test_every_file_is_read_as_phpdotenv_reads_it(
    pieces: list[str], phpdotenv: subprocess.Popen[bytes], version: tuple[int, int]
) -> None:
    content = "".join(pieces)
    theirs = named(asked(phpdotenv, content))
    try:
        ours = named(dotenv.load(content, {}, version))
    except dotenv.DotenvError:
        ours = None
    assert ours == theirs


@pytest.mark.parametrize(
    ("content", "readings"),
    [  # by phpdotenv 5.4, 5.5 and 5.8; None: it refuses the file
        ("é=1", [None, {"é": "1"}, {"é": "1"}]),
        ('A="never closed\nB=1', [{}, {}, None]),
        ('A=1 # B="x\nC=2', [{}, {}, {"A": "1", "C": "2"}]),
        ('A="x\n" # end\nB=2', [{}, {}, {"A": "x\n", "B": "2"}]),
        ("export A=1", [None, None, {"A": "1"}]),
    ],
)
def test_each_phpdotenv_has_its_ways(content: str, readings: list[dict[str, str] | None]) -> None:
    """The same as PHP says; `tests/run` compares with the phpdotenv of one Laravel at a time."""
    for version, expected in zip([(5, 4), (5, 6), (5, 8)], readings, strict=True):
        if expected is None:
            with pytest.raises(dotenv.DotenvError):
                dotenv.load(content, {}, version)
        else:
            assert dotenv.load(content, {}, version) == expected


def test_the_environment_wins_over_the_file_and_feeds_its_variables() -> None:
    seen = dotenv.load("REDIS_PORT=1\nREDIS_URL=redis://h:${REDIS_PORT}/${DB}\n", {"REDIS_PORT": "7000", "DB": "2"})
    assert (seen["REDIS_PORT"], seen["REDIS_URL"]) == ("7000", "redis://h:7000/2")


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        ("null", None), ("(null)", None), ("NULL", None), ("empty", ""), ("(empty)", ""), ("true", "true"),
        ("(True)", "true"), ("False", "false"), ("plain", "plain"), ('"quoted"', "quoted"), ("(null", "(null"),
        ("", ""),
    ],
)  # fmt: skip
def test_words_mean_what_laravels_env_makes_of_them(raw: str, meant: str | None) -> None:
    assert dotenv.value({"X": raw}, "X") == meant
    assert dotenv.value({}, "X") is None


def test_no_error_quotes_the_file_since_that_may_be_a_password() -> None:
    for content in ("REDIS_PASSWORD=s3cret word", 'REDIS_PASSWORD="s3cret\\q"', "REDIS_PASSWORD='s3cret", "=s3cret"):
        with pytest.raises(dotenv.DotenvError) as raised:
            dotenv.load(content, {})
        assert "s3cret" not in str(raised.value)
