"""Hand-written ways to solve the Panda's tasks, from what the observation shows alone."""

import numpy as np

from leo_envs.panda import PandaEnv

ABOVE, LOW = 0.12, 0.02
BEHIND = 0.06
EPISODE = 50


class PandaScript:
    """
    Plays one episode: each move takes steps of the environment and keeps the last observation.

    :param env: reset already
    """

    def __init__(self, env: PandaEnv, observation: dict[str, np.ndarray]) -> None:
        self.env = env
        self.observation = observation
        self.steps = 0

    @property
    def grip(self) -> np.ndarray:
        return self.observation["observation"][:3].astype(np.float64)

    @property
    def thing(self) -> np.ndarray:
        return self.observation["achieved_goal"].astype(np.float64)

    @property
    def goal(self) -> np.ndarray:
        return self.observation["desired_goal"].astype(np.float64)

    @property
    def left(self) -> float:
        return float(np.linalg.norm(self.goal - self.thing))

    def act(self, displacement: np.ndarray, fingers: float | None = None) -> None:
        action = np.clip(displacement / self.env.task.max_displacement, -1.0, 1.0)
        self.observation, *_ = self.env.step(action if fingers is None else [*action, fingers])
        self.steps += 1

    def go(self, place: np.ndarray, fingers: float | None = None, near: float = 0.01, most: int = 15) -> None:
        for _ in range(min(most, EPISODE - self.steps)):
            if np.linalg.norm(place - self.grip) < near:
                break
            self.act(place - self.grip, fingers)

    def go_behind(self, line: np.ndarray) -> None:
        """Over the object's far side as seen along a line, then down."""
        place = self.thing - BEHIND * line
        self.go(np.array([self.grip[0], self.grip[1], ABOVE]))
        self.go(np.array([place[0], place[1], ABOVE]))
        self.go(np.array([place[0], place[1], LOW]), near=0.006)

    def push(self) -> None:
        """Pushes the object to the goal, and goes behind it again where it has turned away."""
        while self.steps < EPISODE and self.left > 0.02:
            way = (self.goal - self.thing) * [1, 1, 0]
            line = way / np.linalg.norm(way)
            self.go_behind(line)
            while self.steps < EPISODE and self.left > 0.02 and np.dot(self.goal - self.thing, line) > 0:
                # Towards the goal, slower as it comes near, and sideways to stay behind the object's middle.
                aside = (self.thing - self.grip) * [1, 1, 0]
                aside -= np.dot(aside, line) * line
                if np.linalg.norm(aside) > 0.02:
                    break
                ahead = min(0.04, 0.5 * np.dot(self.goal - self.thing, line) + 0.005)
                self.act(ahead * line + 1.5 * aside + [0, 0, LOW - self.grip[2]])

    def slide(self, speed: float) -> None:
        """Strikes the object along its line to the goal, at a part of the largest speed, then waits."""
        way = (self.goal - self.thing) * [1, 1, 0]
        line = way / np.linalg.norm(way)
        self.go_behind(line)
        start = self.grip
        while self.steps < EPISODE:
            distance = np.dot(self.grip - start, line)
            aside = (self.thing - self.grip) * [1, 1, 0]
            aside -= np.dot(aside, line) * line
            strike = speed * self.env.task.max_displacement * line + aside
            self.act(strike if distance < 0.12 else np.zeros(3))

    def pick(self) -> None:
        """Takes the object between the fingers, carries it to the goal, and holds it there."""
        over = np.array([*self.thing[:2], self.grip[2]])
        self.go(over, fingers=1.0)
        self.go(np.array([*over[:2], self.thing[2]]), fingers=1.0, near=0.006)
        for _ in range(6):
            self.act(np.zeros(3), fingers=-1.0)
        while self.steps < EPISODE:
            self.act((self.goal - self.thing) * 0.7, fingers=-1.0)
