"""Policies and targets survive both borders: messages and the database's JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward.v1 import rollout_service_pb2 as rollout_pb
from poleward_fleet.adapters.grpc import rollout_mapping
from poleward_fleet.adapters.sql.policy_json import policy_of, policy_to_json
from poleward_fleet.adapters.web.texts import Language, say
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.rollout_policy import (
    OnFailure,
    Policy,
    StageDeadlines,
    Target,
    Wave,
    Window,
    check_policy,
)
from poleward_fleet.domain.words import WORDS, Words

count = st.integers(1, 10_000)
policies = st.builds(
    Policy,
    waves=st.lists(
        st.builds(Wave, count, st.just(0), st.integers(0, 100), st.integers(0, 99), st.booleans()),
        min_size=1,
        max_size=3,
    ).map(tuple),
    concurrency=count,
    gateway_concurrency=count,
    jitter_s=st.integers(0, 9999),
    max_failures=count,
    max_failure_percent=st.integers(1, 100),
    max_attempts=st.integers(1, 10),
    retry_s=count,
    on_failure=st.sampled_from(list(OnFailure)),
    return_digest=st.binary(max_size=32),
    windows=st.lists(
        st.builds(
            Window,
            st.lists(st.integers(0, 6), max_size=7).map(tuple),
            st.integers(0, 1439),
            st.integers(0, 1439),
        ),
        max_size=2,
    ).map(tuple),
    time_zone=st.sampled_from(["UTC", "Asia/Shanghai"]),
    needs_approval=st.booleans(),
    deadlines=st.builds(StageDeadlines, count, count, count, count),
)
targets = st.builds(
    Target,
    area_code=st.text(max_size=12),
    labels=st.lists(st.text(max_size=9)).map(tuple),
    pole_codes=st.lists(st.text(max_size=9)).map(tuple),
    also_later=st.booleans(),
)


@given(policies, targets)
def test_policy_and_target_survive_the_api_and_the_database(policy: Policy, target: Target) -> None:
    message = rollout_pb.CreateRolloutRequest(
        target=rollout_mapping.target_to_message(target),
        policy=rollout_mapping.policy_to_message(policy),
    )
    again = rollout_pb.CreateRolloutRequest.FromString(message.SerializeToString())
    assert rollout_mapping.policy(again.policy) == policy
    assert rollout_mapping.target(again.target) == target
    assert policy_of(json.loads(policy_to_json(policy))) == policy


def test_empty_policy_is_the_default() -> None:
    assert rollout_mapping.policy(rollout_pb.RolloutPolicy()) == Policy()
    check_policy(Policy())


@pytest.mark.parametrize(
    ("policy", "what"),
    [
        (Policy(waves=()), "waves"),
        (Policy(waves=(Wave(nodes=1),)), "last wave"),
        (Policy(waves=(Wave(), Wave())), "last wave"),
        (Policy(waves=(Wave(nodes=1, percent=1), Wave())), "choose one"),
        (Policy(waves=(Wave(percent=101), Wave())), "range"),
        (Policy(concurrency=0), "concurrency"),
        (Policy(max_failure_percent=101), "max_failure_percent"),
        (Policy(on_failure=OnFailure.RETURN), "name the release"),
        (Policy(return_digest=b"1"), "name the release"),
        (Policy(windows=(Window((), 0, 1),)), "weekdays"),
        (Policy(windows=(Window((7,), 0, 1),)), "weekdays"),
        (Policy(time_zone="../etc/passwd"), "time zone"),
    ],
)
def test_policy_that_makes_no_sense_is_refused(policy: Policy, what: str) -> None:
    with pytest.raises(InvalidError, match=what):
        check_policy(policy)


@pytest.mark.parametrize("key", WORDS)
def test_every_sentence_has_the_same_values_in_both_languages(key: str) -> None:
    class Values(dict[str, str]):
        def __missing__(self, name: str) -> str:
            self[name] = f"<{name}>"
            return self[name]

    values = Values()
    english = WORDS[key].format_map(values)
    words = Words.of(key, **values)
    assert str(words) == english
    chinese = say(Language.ZH, words)
    assert all(value in chinese for value in values.values())
    assert Words.of_json(json.loads(words.to_json())) == words
