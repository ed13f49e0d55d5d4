"""The agent of one run in its environment, sent along a chain of goals."""

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from leo_agents.networks.policies import expected_steps
from leo_cli.agent_rollout import make_rollout
from leo_cli.models import load_agent
from leo_cli.named_goals import NamedGoal
from leo_cli.run_folder import RunFolder, SeedFolder
from leo_cli.value_maps import goal_values
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, MASK_KEY

# For goals without a number of steps in the settings or the environment.
_MAX_STEPS = 1_000
_MAX_EXPECTED_STEPS = 9_999


class Player:
    """
    The agent of one run in an environment of its own.

    Episodes have no time limit: the agent stays where it is between goals. The limit is the number of steps per goal instead.

    :param run: the run
    :param seed: the seed whose agent is loaded
    :param label: name of the run on the page
    :param max_steps: maximum number of steps per goal; that of the settings or of the environment if None
    """

    def __init__(self, run: RunFolder, seed: SeedFolder, label: str, max_steps: int | None = None) -> None:
        config, evaluation = run.config, run.config.settings.evaluation
        environment = config.find_environment()
        limits = (max_steps, evaluation.max_steps, environment.spec.max_episode_steps, _MAX_STEPS)
        self.max_steps = next(limit for limit in limits if limit is not None)
        self.label, self.points, self.note = label, config.goal_points, ""
        self.agent, self._epsilon = load_agent(run, seed), evaluation.epsilon
        self._environment = replace(environment, kwargs={**environment.kwargs, "max_episode_steps": -1})
        first = config.find_goal(config.goals[config.eval_goal_ids[0]])
        if "rgb_array" not in environment.make().metadata.get("render_modes", []):
            self.note = f"No frames: {environment.id} has no render mode rgb_array"
        try:
            self._begin(None if self.note else "rgb_array", first)
        except OSError as error:  # nothing here renders, which the rest does not need
            self.note = f"No frames: {error}"
            self._begin(None, first)

    def start(self, goal: NamedGoal, position: int = 0) -> None:
        """
        Command a goal.

        :param goal: the goal
        :param position: its position in the chain
        """
        self.goal, self.position = goal, position
        self.now = self.rollout.command(goal.target)
        self.outcome = "reached" if self.now.achieved else "going"

    def reset(self) -> None:
        """Start a new episode, and the current goal again."""
        self.rollout.reset()
        self.start(self.goal, self.position)

    def advance(self, chain: Sequence[NamedGoal]) -> bool:
        """
        Take a step towards the current goal, or command the next one if it is reached or missed.

        :param chain: the goals
        :return: whether there was anything to do
        """
        if self.outcome == "going":
            self.take(None)
            return True
        if self.position + 1 < len(chain):
            self.start(chain[self.position + 1], self.position + 1)
            return True
        return False

    def take(self, action: Any) -> None:
        """
        Take a step.

        :param action: the action to take instead of the agent's, or None
        """
        if self.now.done:  # the user goes on with the keyboard
            self.reset()
        self.now = self.rollout.step(action)
        if self.now.achieved:
            self.outcome = "reached"
        elif self.now.done:
            self.outcome = "over"
        else:
            self.outcome = "going" if action is not None or self.now.number < self.max_steps else "missed"

    def state(self) -> dict[str, Any]:
        """Describe the current state as the page draws it."""
        return {
            "frame": _data_uri(self.now.frame),
            "position": self.position,
            "steps": self.now.number,
            "outcome": self.outcome,
            "distances": self._distances(),
            **self._location(),
        }

    def _distances(self) -> list[float | None] | None:
        """Return the expected number of steps to every goal, None for one that is never reached; None without values."""
        values = goal_values(self.agent, self.now.observation, self.points)
        if values is None or not 0.0 < self.agent.gamma < 1.0:
            return None
        steps = np.round(expected_steps(values, self.agent.gamma), 1)
        return [step if step <= _MAX_EXPECTED_STEPS else None for step in steps.tolist()]

    def _location(self) -> dict[str, Any]:
        """Return the goals achieved now, and the point where the agent or its object is, if the observation has one."""
        mask, observation = self.now.info.get(MASK_KEY), self.now.observation
        achieved = [] if mask is None else np.flatnonzero(mask).tolist()
        point = observation.get(ACHIEVED_GOAL_KEY) if isinstance(observation, dict) else None
        return {"achieved": achieved, "point": None if point is None else np.round(point, 4).tolist()}

    def _begin(self, render_mode: str | None, goal: NamedGoal) -> None:
        self.env = self._environment.make(render_mode)
        self.rollout = make_rollout(self.agent, self.env, epsilon=self._epsilon)
        self.start(goal)


def _data_uri(frame: Any) -> str | None:
    if frame is None:
        return None
    target = io.BytesIO()
    # Of all formats the fastest to encode by far; without subsampling the edges of cells stay sharp.
    Image.fromarray(frame).convert("RGB").save(target, "jpeg", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode("ascii")
