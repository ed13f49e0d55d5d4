"""Scripted policies that solve the Panda tasks from observations."""

import numpy as np

from leo_envs.panda import PandaEnv

ABOVE, LOW = 0.12, 0.02
BEHIND = 0.06
EPISODE = 50


class PandaScript:
    """Scripted policy for one episode."""

    def __init__(self, env: PandaEnv, observation: dict[str, np.ndarray]) -> None:
        self.env = env
        self.observation = observation
        self.steps = 0

    @property
    def grip(self) -> np.ndarray:
        return self.observation["observation"][:3].astype(np.float64)

    @property
    def object_position(self) -> np.ndarray:
        return self.observation["achieved_goal"].astype(np.float64)

    @property
    def goal(self) -> np.ndarray:
        return self.observation["desired_goal"].astype(np.float64)

    @property
    def distance(self) -> float:
        return float(np.linalg.norm(self.goal - self.object_position))

    def act(self, displacement: np.ndarray, fingers: float | None = None) -> None:
        action = np.clip(displacement / self.env.task.max_displacement, -1.0, 1.0)
        self.observation, *_ = self.env.step(action if fingers is None else [*action, fingers])
        self.steps += 1

    def move_to(
        self, position: np.ndarray, fingers: float | None = None, tolerance: float = 0.01, max_steps: int = 15
    ) -> None:
        for _ in range(min(max_steps, EPISODE - self.steps)):
            if np.linalg.norm(position - self.grip) < tolerance:
                break
            self.act(position - self.grip, fingers)

    def move_behind(self, direction: np.ndarray) -> None:
        """Move above the far side of the object, opposite to a direction, then down."""
        position = self.object_position - BEHIND * direction
        self.move_to(np.array([self.grip[0], self.grip[1], ABOVE]))
        self.move_to(np.array([position[0], position[1], ABOVE]))
        self.move_to(np.array([position[0], position[1], LOW]), tolerance=0.006)

    def direction_to_goal(self) -> np.ndarray:
        """Return the horizontal direction from the object to the goal."""
        offset = (self.goal - self.object_position) * [1, 1, 0]
        return offset / np.linalg.norm(offset)

    def lateral_offset(self, direction: np.ndarray) -> np.ndarray:
        """Return the horizontal offset from the grip to the object, orthogonal to a direction."""
        offset = (self.object_position - self.grip) * [1, 1, 0]
        return offset - np.dot(offset, direction) * direction

    def push(self) -> None:
        """Push the object to the goal; move behind it again whenever it drifts sideways."""
        while self.steps < EPISODE and self.distance > 0.02:
            direction = self.direction_to_goal()
            self.move_behind(direction)
            while self.steps < EPISODE and self.distance > 0.02 and np.dot(self.goal - self.object_position, direction) > 0:
                # Toward the goal, slower close to it, and sideways to stay behind the object's center.
                lateral = self.lateral_offset(direction)
                if np.linalg.norm(lateral) > 0.02:
                    break
                forward = min(0.04, 0.5 * np.dot(self.goal - self.object_position, direction) + 0.005)
                self.act(forward * direction + 1.5 * lateral + [0, 0, LOW - self.grip[2]])

    def slide(self, speed: float) -> None:
        """Hit the object toward the goal, at a fraction of the maximum speed, then wait."""
        line = self.direction_to_goal()
        self.move_behind(line)
        start = self.grip
        while self.steps < EPISODE:
            traveled = np.dot(self.grip - start, line)
            hit = speed * self.env.task.max_displacement * line + self.lateral_offset(line)
            self.act(hit if traveled < 0.12 else np.zeros(3))

    def pick(self) -> None:
        """Grasp the object, carry it to the goal, and hold it there."""
        above = np.array([*self.object_position[:2], self.grip[2]])
        self.move_to(above, fingers=1.0)
        self.move_to(np.array([*above[:2], self.object_position[2]]), fingers=1.0, tolerance=0.006)
        for _ in range(6):
            self.act(np.zeros(3), fingers=-1.0)
        while self.steps < EPISODE:
            self.act((self.goal - self.object_position) * 0.7, fingers=-1.0)
