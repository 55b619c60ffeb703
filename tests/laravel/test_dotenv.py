"""Our reading of .env against the parser that Laravel uses, vlucas/phpdotenv."""

import base64
import json
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis.strategies import lists, sampled_from, text

from queuepool.laravel import dotenv
from tests.support.laravel import PHP

PARSER = r"""
require 'Dotenv/autoload.php';
$source = file_get_contents((new ReflectionClass('Dotenv\Parser\Lines'))->getFileName());
echo strpos($source, '(?<!') ? '5.6.5' : (strpos($source, 'startsOnCurrentLine') ? '5.6.0' : '5.4.1'), "\n";
while (($line = fgets(STDIN)) !== false) {
    try {
        $parsed = (object) array_filter(Dotenv\Dotenv::parse(base64_decode($line)), 'is_string');
    } catch (Dotenv\Exception\InvalidFileException $e) {
        $parsed = null;
    }
    echo json_encode($parsed), "\n";
}
"""


class Theirs:
    """The parser of the installed PHP library; version: which of those that read files differently."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        major, minor, patch = (int(number) for number in self.line().split(b"."))
        self.version = (major, minor, patch)

    def line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def parse(self, content: str) -> dict[str, str] | None:
        """Every variable; None when it refuses the file."""
        assert self.process.stdin is not None
        self.process.stdin.write(base64.b64encode(content.encode()) + b"\n")
        self.process.stdin.flush()
        found: dict[str, str] | None = json.loads(self.line())
        return found


@pytest.fixture(scope="module")
def phpdotenv() -> Iterator[Theirs]:
    with subprocess.Popen([*PHP, "-r", PARSER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Theirs(process)
        assert process.stdin is not None
        process.stdin.close()


PIECES = [
    "A=", "B=", "NAME=", "export C=", "'D'=", '"E"=', "F", "=", "1", "word", "p#ss", " ", "  ", "\t", "\n", "\r\n",
    "\r", "#", "# note", "'", '"', "\\", "\\n", "\\t", '\\"', "\\$", "\\x", "$", "${A}", "${B}", "${NONE}", "${A${B}}",
    "null", "é", "a=b", "\n\n", 'G="', '"\n', "\n#x\n", "exportH=", ".x-y=", "(true)",
]  # fmt: skip


def named(variables: dict[str, str] | None) -> dict[str, str] | None:
    """Without names that are numbers: PHP makes them positions of an array, and phpdotenv then counts them anew."""
    return variables and {name: value for name, value in variables.items() if not name.isdigit()}


@pytest.mark.php
@settings(max_examples=800, deadline=None)
@given(pieces=lists(sampled_from(PIECES) | text(alphabet="AB=x#'\"\\$ {}\n", max_size=4), max_size=14))
@example(pieces=['A="two\nlines"\nB=${A}'])
@example(pieces=["A=x\nB=A\nNAME=${${B}}"])
@example(pieces=['A="never closed\nB=1'])
@example(pieces=["A='it''s'"])
@example(pieces=["1", "=", "\n", "A=x"])
@example(pieces=['A="a\\\\"\nB=${A}${A}'])
@example(pieces=['A="\nG="\nB=1'])
@example(pieces=['A=# "x\nB="y" # ="z\nC=1'])
@example(pieces=["Ä=1\nexport É=2\nexport\tF=3\n²=4"])
def test_every_file_is_read_as_phpdotenv_reads_it(pieces: list[str], phpdotenv: Theirs) -> None:
    content = "".join(pieces)
    theirs = named(phpdotenv.parse(content))
    try:
        ours = named(dotenv.load(content, {}, phpdotenv.version))
    except dotenv.DotenvError:
        ours = None
    assert ours == theirs


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
