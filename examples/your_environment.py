"""
Write an environment from scratch, make it multi-goal, check it, and train an agent for all of its goals.

A robot carries a parcel in a store of 4 x 4 cells. Goals: the robot at a cell, the parcel put down at a cell.
Run with ``python examples/your_environment.py``; it takes about two minutes.
"""

import argparse

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_agents import LEODQN
from leo_agents.evaluation import evaluate_goals
from leo_wrappers import MultiGoalWrapper, PredicateGoals, check_multigoal_env

SIZE = 4


class Store(gym.Env):
    """Four moves, and a fifth action that picks up or puts down the parcel. The environment does not define goals."""

    observation_space = spaces.Box(0, 1, (4 * SIZE + 1,), np.float32)
    action_space = spaces.Discrete(5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.robot, self.parcel = self.np_random.integers(SIZE, size=(2, 2))
        self.carries = False
        return self.observation(), {}

    def step(self, action):
        if action < 4:
            self.robot = np.clip(self.robot + [(-1, 0), (0, 1), (1, 0), (0, -1)][action], 0, SIZE - 1)
        elif self.carries or (self.robot == self.parcel).all():
            self.carries = not self.carries
        if self.carries:
            self.parcel = self.robot
        return self.observation(), 0.0, False, False, {}

    def observation(self):
        positions = np.eye(SIZE, dtype=np.float32)[[*self.robot, *self.parcel]]
        return np.append(positions, np.float32(self.carries)).astype(np.float32)


def at(thing, row, column):
    """Return a test of observations, single or batched (hence ``[..., i]``), for a robot or parcel at a cell."""
    first = {"robot": 0, "parcel": 2 * SIZE}[thing]
    free = (lambda obs: obs[..., -1] == 0) if thing == "parcel" else (lambda obs: obs[..., -1] >= 0)
    return lambda obs: (obs[..., first + row] == 1) & (obs[..., first + SIZE + column] == 1) & free(obs)


cells = [(row, column) for row in range(SIZE) for column in range(SIZE)]
goals = PredicateGoals({f"{thing}/{r},{c}": at(thing, r, c) for thing in ("robot", "parcel") for r, c in cells})


def make_env():
    return MultiGoalWrapper(gym.wrappers.TimeLimit(Store(), 50), goals)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30_000, help="environment steps to train for")
    options = parser.parse_args()

    check_multigoal_env(make_env())  # checks the contract; an error names the goal, the step and the fix
    model = LEODQN("MultiGoalPolicy", make_env(), seed=0).learn(options.steps, progress_bar=True)
    print(evaluate_goals(model, make_env(), episodes_per_goal=5, seed=1))
