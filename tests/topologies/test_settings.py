import pytest

from streams.errors import Mend
from topologies.settings import Settings, load


def test_defaults_stand_without_file_and_environment():
    assert load(environ={}) == Settings()


def test_the_environment_wins_over_the_file(tmp_path):
    file = tmp_path / "citywatch.toml"
    file.write_text('broker = "a:1"\ngroup = "g"\n')
    settings = load(file, {"CITYWATCH_BROKER": "b:2"})
    assert (settings.broker, settings.group) == ("b:2", "g")


def test_the_file_may_be_named_by_the_environment(tmp_path):
    file = tmp_path / "citywatch.toml"
    file.write_text("web_port = 7000\n")
    assert load(environ={"CITYWATCH_SETTINGS": str(file)}).web_port == 7000


def test_numbers_and_booleans_of_the_environment_are_typed():
    settings = load(environ={"CITYWATCH_CHECKPOINT_EVERY_S": "2.5", "CITYWATCH_PLAYBACK": "true", "CITYWATCH_WEB_PORT": "0"})
    assert (settings.checkpoint_every_s, settings.playback, settings.web_port) == (2.5, True, 0)


def test_an_unknown_key_of_the_file_names_the_nearest_setting(tmp_path):
    file = tmp_path / "citywatch.toml"
    file.write_text('brokr = "a:1"\n')
    with pytest.raises(Mend, match="'brokr' is no setting; did you mean 'broker'"):
        load(file, {})


def test_an_unknown_variable_names_the_nearest_variable():
    with pytest.raises(Mend, match="did you mean 'CITYWATCH_REDIS'"):
        load(environ={"CITYWATCH_REDDIS": "redis://x"})


def test_a_variable_of_another_program_is_left_alone():
    assert load(environ={"BROKER": "x", "PATH": "/bin"}) == Settings()


def test_the_crash_point_variable_is_no_setting():
    assert load(environ={"CITYWATCH_CRASH_AT": "after_ack"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CITYWATCH_WEB_PORT", "70000"),
        ("CITYWATCH_CHECKPOINT_EVERY_S", "0"),
        ("CITYWATCH_CHECKPOINT_EVERY_S", "soon"),
        ("CITYWATCH_GROUP", ""),
        ("CITYWATCH_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_variable(variable, value):
    with pytest.raises(Mend, match=variable):
        load(environ={variable: value})


def test_a_wrong_type_in_the_file_is_refused_with_its_place(tmp_path):
    file = tmp_path / "citywatch.toml"
    file.write_text('web_port = "many"\n')
    with pytest.raises(Mend, match="web_port"):
        load(file, {})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Mend, match="cannot be read"):
        load(tmp_path / "none.toml", {})


def test_a_file_that_is_no_toml_names_the_line(tmp_path):
    file = tmp_path / "citywatch.toml"
    file.write_text("broker = \n")
    with pytest.raises(Mend, match="line 1"):
        load(file, {})
