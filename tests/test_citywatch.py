import subprocess
import sys

import pytest

import citywatch


def run(*arguments, **environment):
    return subprocess.run([sys.executable, "-m", "citywatch", *arguments], capture_output=True, text=True, check=False)


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as ended:
        citywatch.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert {"worker", "topics", "incidents", "mute", "dead-letters", "doctor"} <= set(text.split())


@pytest.mark.parametrize("command", ["worker", "incidents", "mute", "dead-letters", "doctor"])
def test_each_command_of_the_worker_room_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        citywatch.main([command, "--help"])
    assert ended.value.code == 0
    assert "example" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["wrker"], "command line: argument COMMAND: 'wrker' is not known: did you mean 'worker'?; see `citywatch --help`"),
        (["mute", "add"], "mute add: the following arguments are required: --author; see `citywatch mute add --help`"),
        (
            ["replay", "run", "x", "--rules"],
            "replay run: argument --rules: expected one argument; see `citywatch replay run --help`",
        ),
        (["demo", "--sedonds", "3"], "command line: unrecognized arguments: --sedonds 3; see `citywatch --help`"),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_what_and_how_to_mend_it(words, told, capsys):
    assert citywatch.main(words) == 2
    assert capsys.readouterr().err == f"citywatch: {told}\n"


def test_what_a_person_must_mend_is_one_line_and_exit_2(capsys, monkeypatch):
    monkeypatch.setenv("CITYWATCH_BROKR", "x")
    assert citywatch.main(["doctor"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean 'CITYWATCH_BROKER'" in error


def test_a_room_that_is_missing_does_not_break_the_others(capsys, monkeypatch):
    monkeypatch.setitem(citywatch.COMMANDS, "demo", ("topologies.not_there", "gone"))
    with pytest.raises(SystemExit) as ended:
        citywatch.main(["--help"])
    assert ended.value.code == 0
    assert "gone" not in capsys.readouterr().out


def test_a_missing_room_that_is_asked_for_says_how_to_mend_it(capsys, monkeypatch):
    monkeypatch.setitem(citywatch.COMMANDS, "demo", ("topologies.not_there", "gone"))
    assert citywatch.main(["demo"]) == 2
    assert "topologies.not_there" in capsys.readouterr().err


def test_the_front_door_starts_without_kafka_faust_and_redis():
    code = (
        "import sys, citywatch\n"
        "try: citywatch.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'faust', 'confluent_kafka', 'kafka', 'redis', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_wrong_address_is_one_line_and_exit_2():
    done = subprocess.run(
        [sys.executable, "-m", "citywatch", "worker"],
        env={
            "CITYWATCH_BROKER": "nonsense",
            "CITYWATCH_WEB_PORT": "0",
            "CITYWATCH_RULES": "tests/topologies/worker_rules",
            "PATH": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("citywatch: ") and "CITYWATCH_BROKER" in done.stderr
