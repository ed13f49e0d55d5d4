"""
Correct environments without a goal set, and faults to plant in them.

    python -m tests.planted_faults

prints what the checkers find, per fault, kind of environment (rows) and environment (columns); it takes about a minute.
"""

import re
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeLimit

from leo_wrappers import ContractError, MultiGoalWrapper, PredicateGoals, check_multigoal_env, check_multigoal_vec_env
from tests.corridor_env import FaultyVecEnv, FaultyVectorEnv

LIMIT = 12
CELLS = 6
CELL_GOALS = PredicateGoals({f"cell/{i}": lambda x, i=i: np.floor(x[..., 0]) == i for i in range(CELLS)})
# A disc and its complement, so that no goal is a box of the observation.
DISC_GOALS = PredicateGoals({"disc": lambda x: abs(x[..., 0] - 3.0) < 0.8, "outside": lambda x: abs(x[..., 0] - 3.0) >= 0.8})
GOALS = CELL_GOALS | DISC_GOALS


class LineEnv(gym.Env[Any, Any]):
    """
    Move left (0) or right (1) on a line of cells; the last cell terminates the episode.

    :param continuous: start at a random point and let the length of a step depend on it, so that observations never repeat
    :param has_masks: report the masks, without a goal set that a checker could find
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, continuous: bool = False, has_masks: bool = True) -> None:
        self.continuous, self.has_masks = continuous, has_masks
        self.observation_space = spaces.Box(0, CELLS + 2, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.goal_names: Any = GOALS.names
        self.commanded: int | None = None

    def set_commanded_goal(self, goal_id: int | None) -> None:
        self.commanded = goal_id

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x = self.np_random.uniform(0, CELLS - 1) if self.continuous else int(self.np_random.integers(CELLS - 1)) + 0.5
        return self._observe()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        length = 0.8 + 0.3 * np.sin(3 * self.x) if self.continuous else 1.0
        # Reflected at the left end, because clipping would make observations repeat.
        self.x = abs(self.x + (length if action == 1 else -length))
        obs, info = self._observe()
        return obs, 0.0, bool(self.x >= CELLS - 1), False, info

    def _observe(self) -> tuple[Any, dict[str, Any]]:
        obs = np.array([self.x], dtype=np.float32)
        return obs, {"goals_achieved": GOALS.achieved(obs)} if self.has_masks else {}


BASES: dict[str, Callable[[], gym.Env[Any, Any]]] = {
    "repeating": lambda: TimeLimit(LineEnv(), LIMIT),
    "never repeating": lambda: TimeLimit(LineEnv(continuous=True), LIMIT),
    "goal set": lambda: MultiGoalWrapper(TimeLimit(LineEnv(continuous=True, has_masks=False), LIMIT), GOALS),
}


class FaultWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """
    Wrapper that plants a fault.

    :param env: the environment
    :param fault: changes the results of resets and steps
    """

    def __init__(self, env: gym.Env[Any, Any], fault: "Fault") -> None:
        super().__init__(env)
        self.fault, self.names = fault, env.get_wrapper_attr("goal_names")
        self.num_resets = 0
        self.buffers = deque(np.zeros(len(GOALS), dtype=bool) for _ in range(2))
        if fault.names is not None:
            self.names = fault.names(self.names)

    @property
    def goal_names(self) -> Any:
        if self.fault.name == "goals renamed" and self.num_resets > 2:
            return tuple(f"new {name}" for name in self.names)
        return self.names

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.options, self.time = options or {}, 0
        obs, info = self.env.reset(seed=seed, options=options)
        self.num_resets += 1
        self.history = [info["goals_achieved"].copy()]
        result = self.fault.apply(self, (obs, 0.0, False, False, info))
        return result[0], result[4]

    def step(self, action: Any) -> Any:
        self.action, self.time = action, self.time + 1
        result = self.env.step(action)
        self.history.append(result[4]["goals_achieved"].copy())
        return self.fault.apply(self, result)


Result = tuple[Any, Any, Any, Any, Any]


@dataclass
class Fault:
    """
    A fault to plant.

    :param name: its name
    :param match: regular expression that a clear message matches
    :param mask: changes the mask: ``(wrapper, mask, result) -> mask``
    :param result: changes the whole result: ``(wrapper, result) -> result``
    :param names: changes the goal names
    :param kinds: the kinds of environments in which it is visible
    """

    name: str
    match: str
    mask: Callable[[FaultWrapper, Any, Result], Any] | None = None
    result: Callable[[FaultWrapper, Result], Result] | None = None
    names: Callable[[Any], Any] | None = None
    kinds: str = "single gymnasium sb3"

    def apply(self, wrapper: FaultWrapper, result: Result) -> Result:
        if self.mask is not None:
            mask = self.mask(wrapper, result[4]["goals_achieved"], result)
            return *result[:4], {**result[4], "goals_achieved": mask}
        return result if self.result is None else self.result(wrapper, result)


def _reset_mask(wrapper: FaultWrapper) -> Any:
    """The mask of a new episode, whose first state is drawn within the step."""
    return GOALS.achieved(np.array([int(wrapper.np_random.integers(CELLS - 1)) + 0.5]))


def _early(wrapper: FaultWrapper, mask: Any, result: Result) -> Any:
    if wrapper.time == 0 or result[2] or result[3]:
        return mask
    return deepcopy(wrapper.env).step(wrapper.action)[4]["goals_achieved"]


def _commanded(wrapper: FaultWrapper, mask: Any, result: Result) -> Any:
    commanded = wrapper.get_wrapper_attr("commanded")
    return mask if commanded is None else _with(mask, commanded, True)


def _write(array: Any, mask: Any) -> Any:
    array[:] = mask
    return array


def _buffer(wrapper: FaultWrapper, mask: Any, result: Result) -> Any:
    return _write(wrapper.buffers[0], mask)


def _ring(wrapper: FaultWrapper, mask: Any, result: Result) -> Any:
    wrapper.buffers.rotate()
    return _write(wrapper.buffers[0], mask)


def _overwrite(wrapper: FaultWrapper, mask: Any, result: Result) -> Any:
    if wrapper.time > 0:
        _write(wrapper.buffers[1], ~wrapper.buffers[1])
    wrapper.buffers[1] = mask
    return mask


def _with(mask: Any, goal: int, value: Any) -> Any:
    mask = mask.copy()
    mask[goal] = value
    return mask


def _without_mask(result: Result) -> Result:
    return *result[:4], {key: value for key, value in result[4].items() if key != "goals_achieved"}


def _ends_by_itself(wrapper: FaultWrapper, result: Result) -> Result:
    obs, reward, _, truncated, info = result
    ends = wrapper.time >= 3
    return obs, reward, ends, truncated and not ends, info


STATE = "|".join(
    [
        "observation was the same",
        "goal set of MultiGoalWrapper",
        "same observation and other random numbers",
        "without the truncation",
        "probably one step late",
        "mask of the reset that followed",
        "of the reset before them",
        "empty mask at every",
        "describe the same last state",
        "in environment",
    ]
)
"""What clear messages about masks of another state contain."""

MASK_FAULTS = [
    Fault("one step late", STATE, lambda w, m, r: w.history[max(0, w.time - 1)].copy()),
    Fault("two steps late", STATE, lambda w, m, r: w.history[max(0, w.time - 2)].copy()),
    Fault("one goal late", STATE, lambda w, m, r: _with(m, 2, w.history[max(0, w.time - 1)][2])),
    Fault("late at the end", STATE, lambda w, m, r: w.history[-2].copy() if r[2] or r[3] else m),
    Fault("early", STATE, _early),
    Fault("of the first state", STATE, lambda w, m, r: w.history[0].copy()),
    Fault("of the next episode if terminated", STATE, lambda w, m, r: _reset_mask(w) if r[2] else m),
    Fault("of the next episode if truncated", STATE, lambda w, m, r: _reset_mask(w) if r[3] else m),
    Fault("empty if terminated", STATE, lambda w, m, r: np.zeros_like(m) if r[2] else m),
    Fault("empty if truncated", STATE, lambda w, m, r: np.zeros_like(m) if r[3] else m),
    Fault("empty at the reset", STATE, lambda w, m, r: np.zeros_like(m) if w.time == 0 else m),
    Fault("achieved goals stay achieved", STATE, lambda w, m, r: np.any(w.history, axis=0)),
    Fault("depends on the time", STATE, lambda w, m, r: _with(m, 0, w.time % 2 == 1)),
    Fault("depends on the episode", STATE, lambda w, m, r: m if w.num_resets % 2 else np.roll(m, 1)),
    Fault("depends on the options", "reset options", lambda w, m, r: ~m if w.options else m, kinds="single"),
    Fault("depends on the commanded goal", "of the commanded goal|goal set of", _commanded, kinds="single"),
    Fault("random", STATE, lambda w, m, r: _with(m, 1, w.np_random.random() < 0.5)),
    Fault("random, not seeded", STATE + "|same seed", lambda w, m, r: _with(m, 1, np.random.random() < 0.5)),
    Fault("goals in another order", STATE, lambda w, m, r: np.roll(m, 1)),
]
FORM_FAULTS = [
    Fault("reused", "fresh array", _buffer, kinds="single sb3"),
    Fault("two buffers", "fresh array|never write into a mask", _ring, kinds="single sb3"),
    Fault("overwritten", "stay unchanged", _overwrite, kinds="single sb3"),
    Fault("int", "dtype bool", lambda w, m, r: m.astype(int)),
    Fault("list", "numpy.ndarray|dtype bool", lambda w, m, r: m.tolist()),
    Fault("masked array", "numpy.ndarray", lambda w, m, r: np.ma.masked_array(m), kinds="single sb3"),
    Fault("one goal short", "of shape", lambda w, m, r: m[:-1].copy()),
    Fault("a row too many", "of shape", lambda w, m, r: m[None].copy()),
    Fault("missing at the reset", "at every reset", result=lambda w, r: r if w.time else _without_mask(r)),
    Fault("missing at the end", "including the last step", result=lambda w, r: _without_mask(r) if r[2] or r[3] else r),
    Fault("missing after options", "at every reset", result=lambda w, r: _without_mask(r) if w.options else r, kinds="single"),
    Fault("info None", r"info.* to be a dict", result=lambda w, r: (*r[:4], None), kinds="single sb3"),
]
OTHER_FAULTS = [
    Fault("NaN reward", "finite reward", result=lambda w, r: (r[0], np.nan, *r[2:])),
    Fault("infinite reward", "finite reward", result=lambda w, r: (r[0], np.inf, *r[2:])),
    Fault("NumPy reward", "Python float", result=lambda w, r: (r[0], np.float32(0), *r[2:]), kinds="single"),
    Fault("NumPy terminated", "Python bool", result=lambda w, r: (*r[:2], np.bool_(r[2]), *r[3:]), kinds="single"),
    Fault("int truncated", "Python bool", result=lambda w, r: (*r[:3], int(r[3]), r[4]), kinds="single"),
    Fault(
        "truncation reported as termination",
        "truncated=True where a TimeLimit|time limit to truncate",
        result=lambda w, r: (*r[:2], r[2] or r[3], False, r[4]),
    ),
    Fault("own time limit terminates", "time limit to truncate", result=_ends_by_itself),
    Fault("observation out of range", "an observation in", result=lambda w, r: (r[0] - 100, *r[1:])),
    Fault("observation of another dtype", "an observation in", result=lambda w, r: (r[0].astype(float), *r[1:])),
    Fault(
        "random observation, not seeded",
        "same seed|observation was the same",
        result=lambda w, r: (r[0] * np.float32(np.random.random()), *r[1:]),
    ),
    Fault("list of names", "tuple of str", names=list),
    Fault("duplicate names", "unique", names=lambda names: ("a", *names[1:-1], "a")),
    Fault("names not str", "non-empty strings", names=lambda names: tuple(range(len(names)))),
    Fault("goals renamed", "when it was created"),
]


FAULTS = {fault.name: fault for fault in [*MASK_FAULTS, *FORM_FAULTS, *OTHER_FAULTS]}
KINDS = ("single", "gymnasium", "sb3")
VECTOR_FAULTS = {
    "gymnasium": {
        "final mask of the reset": STATE + "|as from a single environment",
        "no final info": "_final_info",
        "no final observation": "final_obs",
        "no presence": "_goals_achieved",
        "rows swapped": STATE + "|as from a single environment",
        "reward of the reset": "reward 0 and not done",
        "reused batch": "fresh array",
    },
    "sb3": {
        "aliased rows": "not to overlap",
        "no terminal mask": "including the last step",
        "no terminal observation": "terminal_observation",
        "terminal observation of the reset": "terminal_observation|" + STATE,
        "terminal mask of the reset": STATE,
        "no reset mask": "reset_infos",
    },
}
"""Faults of vector environments and what clear messages about them match."""


def make_faulty(base: str, fault: Fault) -> gym.Env[Any, Any]:
    """Create an environment with a fault."""
    return FaultWrapper(BASES[base](), fault)


def check(kind: str, make: Callable[[], gym.Env[Any, Any]], vector_fault: str = "") -> None:
    """
    Check a single environment, or three of them in a vector environment.

    :param kind: "single", "gymnasium" or "sb3"
    :param make: creates an environment
    :param vector_fault: fault of the vector environment
    """
    if kind == "single":
        check_multigoal_env(make(), skip_sb3_check=True, skip_gymnasium_check=True)
    elif kind == "gymnasium":
        vector_class = type("Faulty", (FaultyVectorEnv,), {"fault": vector_fault})
        mode = AutoresetMode.NEXT_STEP if vector_fault == "reward of the reset" else AutoresetMode.SAME_STEP
        check_multigoal_vec_env(vector_class([make] * 3, autoreset_mode=mode))
    else:
        check_multigoal_vec_env(type("Faulty", (FaultyVecEnv,), {"fault": vector_fault})([make] * 3))


def cases() -> Iterator[tuple[str, str, str, Callable[[], None], str]]:
    """
    Yield all combinations of faults and environments.

    :return: name of the fault, kind of environment, name of the environment, the check, and what a clear message matches
    """
    for kind in KINDS:
        for base, make in BASES.items():
            for fault in FAULTS.values():
                if kind in fault.kinds:
                    yield fault.name, kind, base, partial(check, kind, partial(make_faulty, base, fault)), fault.match
            for name, match in VECTOR_FAULTS.get(kind, {}).items():
                yield name, kind, base, partial(check, kind, make, name), match


def outcome(run: Callable[[], None], match: str) -> str:
    """
    Return the outcome of a check of a faulty environment.

    :param run: runs the check
    :param match: regular expression that a clear message matches
    :return: "found" by an error or warning that matches, "misleading" for any other error, "announced" if only the
        warning about how many masks could be compared points to it, else "missed"
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run()
        except ContractError as error:
            return "found" if re.search(match, str(error)) else "misleading"
        except Exception:
            return "misleading"
    messages = [str(warning.message) for warning in caught]
    if any(re.search(match, message) for message in messages):
        return "found"
    return "announced" if any("could be compared" in message for message in messages) else "missed"


def main() -> None:
    """Print a table of the outcomes, and how many there are of each."""
    table: dict[tuple[str, str], dict[str, str]] = {}
    for name, kind, base, run, match in cases():
        table.setdefault((name, kind), {})[base] = outcome(run, match)
    print(f"{'fault':44} {'kind':10} " + " ".join(f"{base:15}" for base in BASES))
    for (name, kind), outcomes in sorted(table.items()):
        print(f"{name:44} {kind:10} " + " ".join(f"{outcomes[base]:15}" for base in BASES))
    print(dict(Counter(result for outcomes in table.values() for result in outcomes.values())))


if __name__ == "__main__":
    main()
