import pytest

from alert_sinks.routing import Route, RouteMatch, Routing
from streams.errors import Mend
from tests.alert_sinks.incidents import incident

KNOWN = ("kafka_topics", "redis_live", "terminal")


def test_the_shipped_tree_tells_kafka_and_redis_everything():
    routing = Routing.from_file(None, KNOWN)
    for event in ("opened", "updated", "resolved", "merged"):
        for historical in (False, True):
            assert {"kafka_topics", "redis_live"} <= set(routing.sinks_for(incident(event=event, historical=historical)))


@pytest.mark.parametrize(
    ("event", "historical", "told"),
    [
        ("opened", False, True),
        ("updated", False, False),
        ("escalated", False, True),
        ("opened", True, True),
        ("resolved", True, False),
    ],
)
def test_the_shipped_tree_tells_the_terminal_what_is_news_to_a_person(event, historical, told):
    sinks = Routing.from_file(None, KNOWN).sinks_for(incident(event=event, historical=historical))
    assert ("terminal" in sinks) is told


def test_the_first_matching_route_wins():
    tree = Route(routes=[Route(["a"], RouteMatch(levels=[2])), Route(["b"])])
    assert Routing(tree).sinks_for(incident(level=2)) == ["a"]


def test_continue_looks_at_the_next_route_too():
    tree = Route(routes=[Route(["a"], RouteMatch(levels=[2]), continue_=True), Route(["b"])])
    assert Routing(tree).sinks_for(incident(level=2)) == ["a", "b"]


def test_sinks_are_collected_on_the_way_down():
    tree = Route(["a"], routes=[Route(["b"], RouteMatch(categories=["gas"]), routes=[Route(["c"], RouteMatch(exercise=True))])])
    assert Routing(tree).sinks_for(incident(exercise=True)) == ["a", "b", "c"]


def test_a_sink_named_twice_gets_one_delivery():
    tree = Route(["a"], routes=[Route(["a"])])
    assert Routing(tree).sinks_for(incident()) == ["a"]


def test_every_condition_of_a_match_must_hold():
    match = RouteMatch(levels=[2], cities=["340100"], historical=False, exercise=True)
    assert not match.holds(incident(level=2))
    assert match.holds(incident(level=2, exercise=True))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('sinks = ["kafka_topic"]', "did you mean 'kafka_topics'"),
        ("snks = []", "snks"),
        ("[[routes]]\nmatch = { levels = [7] }", "<= 4"),
        ('[[routes]]\nmatch = { events = ["open"] }', "escalated"),
        ("sinks = ", "Invalid value"),
    ],
)
def test_a_wrong_routing_file_is_refused_with_its_place(tmp_path, text, says):
    file = tmp_path / "routing.toml"
    file.write_text(text)
    with pytest.raises(Mend, match=says) as raised:
        Routing.from_file(file, KNOWN)
    assert str(file) in str(raised.value)


def test_a_missing_routing_file_is_refused(tmp_path):
    with pytest.raises(Mend, match="cannot be read"):
        Routing.from_file(tmp_path / "none.toml", KNOWN)
