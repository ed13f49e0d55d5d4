"""
How much n-step targets underestimate values, with and without the per-goal cut of LEODQN's ``cut_tolerance``: exact figures.

Run ``python benchmarks/n_step_bias.py``; the table is written to ``benchmarks/results/n_step_bias.json``. Nothing is trained:
the values to which the targets converge are computed by dynamic programming over the transition matrix of FrozenLake (4 x 4),
slippery and not, for all cells as goals.

The actions of a window are those of a behavior: uniformly random ones, or those of an agent that is commanded a uniformly
drawn goal and acts greedily for it, with 10 % random actions. The value of goal g at the end of the first step is then

- without the cut: the return of the behavior's next n - 1 actions, and the best value after them;
- with the cut: the same, but up to the first action whose value for g is lower than the best one's by more than a fraction,
  the tolerance; there, the best value.

Bias: value minus optimal value, over all states that do not end the episode and all goals that can be reached from them.
Success: probability that the greedy policy of these values reaches the goal from the start, over all reachable goals.
Sweeps: after how many updates of all values, which are zero at first, each is within 0.01 of its limit.
None where values never stay: with a tolerance, an action may be greedy enough again once the values without it have fallen.
"""

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from machine import describe

GAMMA, EPSILON, SWEEPS = 0.99, 0.1, 1_000
N_STEPS = (1, 3, 5, 10)
TOLERANCES = (None, 0.0, 0.02)

Array = np.ndarray[Any, np.dtype[np.float64]]


class LakeValues:
    """
    Values of all cells of FrozenLake as goals.

    :param is_slippery: whether two of three moves go sideways
    """

    def __init__(self, is_slippery: bool) -> None:
        table = gym.make("FrozenLake-v1", is_slippery=is_slippery).unwrapped.P  # type: ignore[attr-defined]
        self.num_states, self.num_actions = len(table), len(table[0])
        self.transitions = np.zeros((self.num_states, self.num_actions, self.num_states))
        self.ends = np.zeros(self.num_states, dtype=bool)
        for state, action in product(range(self.num_states), range(self.num_actions)):
            for probability, next_state, _, terminated in table[state][action]:
                self.transitions[state, action, next_state] += probability
                self.ends[next_state] |= terminated
        self.optimal, _ = self.fixed_point(lambda q: self.backup(q.max(axis=1)))
        self.reachable = (self.optimal.max(axis=1) > 1e-9) & ~self.ends[:, None]

    def backup(self, values: Array) -> Array:
        """
        Compute one-step targets.

        :param values: of the next states, ``[..., S, G]``
        :return: ``[..., S, A, G]``
        """
        achieved = np.eye(self.num_states)
        after = achieved + GAMMA * (1 - achieved) * ~self.ends[:, None] * values
        targets = self.transitions.reshape(-1, self.num_states) @ after
        return targets.reshape(*after.shape[:-2], self.num_states, self.num_actions, -1)

    def n_step_targets(self, q: Array, behaviors: Array, n_steps: int, tolerance: float | None) -> Array:
        """
        Compute expected n-step targets.

        :param q: values ``[S, A, G]``
        :param behaviors: probabilities of actions ``[H, S, A]``
        :param n_steps: length of the windows
        :param tolerance: of the cut; None for no cut
        :return: ``[H, S, A, G]``
        """
        best = q.max(axis=1)
        continues = np.ones_like(q, dtype=bool) if tolerance is None else q >= (1 - tolerance) * best[:, None] - 1e-9
        targets = self.backup(np.broadcast_to(best, (len(behaviors), *best.shape)))
        for _ in range(n_steps - 1):
            after = np.where(continues, targets, best[:, None])
            targets = self.backup((behaviors[..., None] * after).sum(axis=2))
        return targets

    def behaviors(self, name: str) -> Array:
        """
        Return probabilities of actions.

        :param name: "random" or "greedy"
        :return: one policy per commanded goal ``[H, S, A]``
        """
        if name == "random":
            return np.full((1, self.num_states, self.num_actions), 1 / self.num_actions)
        greedy = np.eye(self.num_actions)[self.optimal.argmax(axis=1)]  # [S, H, A]
        return (EPSILON / self.num_actions + (1 - EPSILON) * greedy).transpose(1, 0, 2)

    def limit(self, behavior: str, n_steps: int, tolerance: float | None) -> tuple[Array, int | None]:
        """
        Compute the values to which n-step targets converge, and in how many sweeps.

        :param behavior: name of the behavior
        :param n_steps: length of the windows
        :param tolerance: of the cut; None for no cut
        :return: as :meth:`fixed_point`
        """
        policies = self.behaviors(behavior)
        weights = policies / policies.sum(axis=0)  # of the commanded goals, given the first action

        def improve(q: Array) -> Array:
            return (weights[..., None] * self.n_step_targets(q, policies, n_steps, tolerance)).sum(axis=0)

        return self.fixed_point(improve)

    def fixed_point(self, improve: Callable[[Array], Array]) -> tuple[Array, int | None]:
        """
        Apply a function to values of zero until its result stays.

        :param improve: maps values to values
        :return: the values ``[S, A, G]``, and after how many applications they were within 0.01; None if they never stay
        """
        history = [np.zeros((self.num_states, self.num_actions, self.num_states))]
        while len(history) < SWEEPS and (len(history) < 2 or np.abs(history[-1] - history[-2]).max() > 1e-8):
            history.append(improve(history[-1]))
        if len(history) == SWEEPS:
            return history[-1], None
        distances = np.abs(np.array(history) - history[-1]).max(axis=(1, 2, 3))
        return history[-1], int(np.flatnonzero(distances >= 0.01)[-1]) + 1

    def success(self, q: Array) -> float:
        """
        Compute how often the greedy policy reaches a goal from the start.

        :param q: values ``[S, A, G]``
        :return: the mean over the goals
        """
        goals = np.flatnonzero(self.reachable[0])
        actions = q.round(9).argmax(axis=1)[:, goals]  # [S, K]
        reached = np.zeros_like(actions, dtype=float)
        is_goal = np.eye(self.num_states)[:, goals]
        moves = self.transitions[np.arange(self.num_states)[:, None], actions]  # [S, K, S']
        for _ in range(SWEEPS):
            after = is_goal + (1 - is_goal) * ~self.ends[:, None] * reached
            reached = np.einsum("skt,tk->sk", moves, after)
        return float(reached[0].mean())


def measure(lake: LakeValues, behavior: str, n_steps: int, tolerance: float | None) -> dict[str, Any]:
    """
    Measure one kind of target.

    :param lake: the environment
    :param behavior: name of the behavior
    :param n_steps: length of the windows
    :param tolerance: of the cut; None for no cut
    :return: a line of the table
    """
    q, sweeps = lake.limit(behavior, n_steps, tolerance)
    bias = (q.max(axis=1) - lake.optimal.max(axis=1))[lake.reachable]
    return {
        "behavior": behavior,
        "n_steps": n_steps,
        "cut_tolerance": tolerance,
        "bias": float(bias.mean()),
        "largest_bias": float(bias.min()),
        "success": lake.success(q),
        "sweeps": sweeps,
    }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "n_step_bias.json")
    options = parser.parse_args()
    table = []
    print(f"{'lake':14s} {'behavior':8s} {'n':>3s} {'tolerance':>9s} {'bias':>8s} {'largest':>8s} {'success':>8s} sweeps")
    for slippery in (True, False):
        lake = LakeValues(slippery)
        for behavior, n_steps, tolerance in product(("greedy", "random"), N_STEPS, TOLERANCES):
            if n_steps == 1 and tolerance is not None:
                continue
            line = {"slippery": slippery, **measure(lake, behavior, n_steps, tolerance)}
            table.append(line)
            print(
                f"{'slippery' if slippery else 'not slippery':14s} {behavior:8s} {n_steps:3d} {tolerance!s:>9s} "
                f"{line['bias']:8.4f} {line['largest_bias']:8.4f} {line['success']:8.4f} {line['sweeps'] or '-':>6}",
                flush=True,
            )
    about = {"what": (__doc__ or "").strip(), "gamma": GAMMA, "epsilon": EPSILON, "table": table}
    options.out.write_text(json.dumps({**about, "machine": describe("gymnasium", "numpy")}, indent=2) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
