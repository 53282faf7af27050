"""A person's own functions: which are told from each other, which are refused, and what they may give."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

import jaxscore
from jaxscore.errors import DataError, JaxscoreError
from jaxscore.hooks import Hooks

A, B = (lambda name, states: states[:, :1]), (lambda name, states: states[:, :2])  # two of one line


def first(k):
    return lambda name, states: states[:, :k]


def with_default(k):
    def hook(name, states, k=k):
        return states[:, :k]

    return hook


def with_keyword(k):
    def hook(name, states, *, k=k):
        return states[:, :k]

    return hook


def through(function):
    def hook(name, states):
        return function(name, states)

    return hook


def decorated(k):
    """The source of a decorated function, as `inspect` has it, is that of the function inside."""

    def decorate(function):
        @functools.wraps(function)
        def wrapper(name, states):
            return function(name, states)[:, :k]

        return wrapper

    return decorate(plain)


def plain(name, states):
    return states


def key(function) -> str:
    return Hooks(on_activations=function).about()["on_activations"]


@pytest.mark.parametrize("make", [first, with_default, with_keyword, decorated], ids=lambda make: make.__name__)
def test_functions_with_other_values_are_others(make):
    keys = [key(make(k)) for k in (1, 2, 1.0, True, None, "1", (1, 2), (1, (2,)), math)]
    assert len(set(keys)) == len(keys)
    assert key(make(2)) == keys[1]


def test_functions_inside_count_with_their_own_values():
    assert key(through(first(1))) == key(through(first(1)))
    assert len({key(through(inner)) for inner in (first(1), first(2), plain, A, B)}) == 5


def test_two_lambdas_of_one_line():
    assert key(A) != key(B)
    assert key(A) == key(A)


def test_a_function_that_calls_itself():
    def again(name, states):
        return states if states.shape[1] < 3 else again(name, states[:, 1:])

    assert key(again) == key(again)


def test_sets_of_constants_do_not_depend_on_the_seed_of_hashes(tmp_path):
    """Strings in a frozenset print in another order in every process."""
    import subprocess
    import sys

    (tmp_path / "mine.py").write_text("def hook(texts):\n    return [t for t in texts if t in {'a', 'b', 'c', 'd'}]\n")
    code = "from mine import hook; from jaxscore.hooks import Hooks; print(Hooks(hook).about()['on_stimuli'])"
    ran = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in "123"
    ]  # fmt: skip
    assert len(set(ran)) == 1
    assert ran[0].startswith("hook ")


class Callable:
    def __call__(self, name, states):
        return states

    def method(self, name, states):
        return states


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (functools.partial(with_default(1), k=2), "partial"),
        (Callable(), "Callable"),
        (Callable().method, "method"),
        (np.add, "ufunc"),
        (len, "builtin_function_or_method"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_function_is_refused(function, word):
    with pytest.raises(JaxscoreError, match=f"on_activations is a {word}, expected a function") as error:
        Hooks(on_activations=function)
    assert "def" in error.value.hint


@pytest.mark.parametrize("value", [np.arange(3), [1], {"a": 1}, Callable(), (1, [2]), np.float64(1), Callable])
@pytest.mark.parametrize("make", [first, with_default, with_keyword], ids=lambda make: make.__name__)
def test_values_that_cannot_be_known_are_refused(make, value):
    with pytest.raises(JaxscoreError, match=r"on_activations holds .*, whose content is not known") as error:
        Hooks(on_activations=make(value))
    assert "Compute it inside" in error.value.hint


def test_a_name_without_a_value_and_a_function_without_source():
    def hook(name, states):
        return later

    with pytest.raises(JaxscoreError, match="no value yet"):
        Hooks(on_activations=hook)
    later = 1
    assert key(hook)
    with pytest.raises(JaxscoreError, match="no source text") as error:
        Hooks(on_activations=eval("lambda name, states: states"))
    assert "def in a file" in error.value.hint


def test_the_store_keeps_closures_apart(tiny, study):
    """A second function with another value is not answered by the result of the first."""
    asked = {"layers": "1", "out": "results"}
    scores = [jaxscore.score(tiny, study.write(), on_activations=first(k), **asked) for k in (1, 8, 1)]
    assert [found.resumed for found in scores] == [False, False, True]
    assert scores[0].value == scores[2].value != scores[1].value


def test_refused_before_anything_is_read(tiny):
    with pytest.raises(JaxscoreError, match="on_stimuli is a partial"):
        jaxscore.score(tiny, "Pereira2018-encoding", on_stimuli=functools.partial(sorted), offline=True)


def test_what_functions_may_give():
    assert Hooks().stimuli(["a"]) == ["a"]
    assert Hooks(on_stimuli=lambda texts: [text.upper() for text in texts]).stimuli(["a", "b"]) == ["A", "B"]
    states = np.ones((2, 3), np.float32)
    (changed,) = Hooks(on_activations=first(2)).activations(["drop"], [states])
    assert changed.shape == (2, 2)
    with pytest.raises(DataError, match="1 values for 2 stimuli"):
        Hooks(on_stimuli=lambda texts: texts[:1]).stimuli(["a", "b"])
    with pytest.raises(DataError, match="layer drop"):
        Hooks(on_activations=lambda name, layer: layer[0]).activations(["drop"], [states])
