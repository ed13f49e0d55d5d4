"""Panda arm as a Gymnasium environment."""

import difflib
from dataclasses import fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import EzPickle

from leo_envs.common.helper_goals import wants_helpers
from leo_envs.common.point_goal_env import Array, PointGoalEnv
from leo_envs.common.robotics_extra import import_robotics
from leo_envs.common.target_site import move_site
from leo_envs.panda.controller import POSTURE, ArmController, GripKinematics, arm_slices
from leo_envs.panda.goals import panda_goal_box, panda_helper_goals, sample_goal
from leo_envs.panda.scene import ARM_JOINTS, FINGER_JOINTS, FINGER_OPENING, GRIP, OBJECT, TARGET, TIMESTEP, build_model
from leo_envs.panda.tasks import PANDA_TASKS, PandaTask, check_task
from leo_envs.panda.workspace import nearest_reachable
from leo_wrappers.validation import check_choice

SUBSTEPS = 20
CAMERA = {"distance": 1.6, "azimuth": 140.0, "elevation": -25.0, "lookat": np.array([0.35, 0.0, 0.2])}
FAR_CAMERA = {"distance": 2.1, "azimuth": 140.0, "elevation": -30.0, "lookat": np.array([0.55, 0.0, 0.1])}
FRAME_SIZE = 480


class PandaEnv(PointGoalEnv, EzPickle):
    """
    Franka Panda arm on a table that reaches for positions, pushes a cube, slides a puck, or picks and places a cube.

    - **Actions**: ``Box(-1, 1, (3,))``: displacement of the grip along x, y and z in units of ``max_displacement``. For
      "pick_and_place", a fourth entry opens (positive) or closes the fingers; in the other tasks, they stay closed. The
      gripper stays upright. A step takes 0.04 s.
    - **Observation**: see :class:`~leo_envs.common.point_goal_env.PointGoalEnv`. ``observation`` consists of position and
      velocity of the grip; for "pick_and_place", the opening of the fingers; and, for tasks with an object, its position, its
      position relative to the grip, the first two columns of its rotation matrix, its velocity and its angular velocity: 6,
      24 or 25 entries in SI units. ``achieved_goal`` is the position of the grip ("reach") or of the object.
    - **Goals**: "gripper/x+15,y-7.5,z+0" ("reach"), "table/x+15,y-10", and "air/x+15,y-10,z+30" ("pick_and_place"), in
      centimeters from the gripper's start position; an object's height is relative to its resting position on the table.
      Tasks with an object have helping goals, too: "gripper/..." as in "reach", "near/x-5.5,y+0,z+0" (the gripper beside the
      object, on this side of it) and "moving/x+" (the object moves in this direction).
    - **Reward**: "sparse" (0.0 if the desired goal is achieved, else -1.0) or "dense" (minus the distance).
    - **Termination**: never. ``gym.make`` truncates after 50 steps (``max_episode_steps``).

    :param task: "reach", "push", "slide" or "pick_and_place"
    :param points: goals at these points ``[G, 3]`` instead of a grid
    :param helper_goals: whether to add the helping goals; by default for tasks with an object, unless ``points`` are given
    :param reward_type: "sparse" or "dense"
    :param render_mode: "rgb_array", "human" or None
    :param changes: other values for fields of :class:`~leo_envs.panda.tasks.PandaTask`: ``resolution`` and ``tolerance`` of
        the goals, ``goal_range``, ``object_size``, ``friction``, ``table``, ``max_displacement``, ...

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/PandaReach-v0", resolution=3, tolerance=0.04)
        >>> observation, info = env.reset(seed=0)
        >>> observation["achieved_goal"].round(2) + 0.0, env.unwrapped.goal_names[13], bool(info["goals_achieved"][13])
        (array([0.5 , 0.  , 0.25], dtype=float32), 'gripper/x+0,y+0,z+0', True)
    """

    def __init__(
        self,
        task: str = "reach",
        *,
        points: npt.ArrayLike | None = None,
        helper_goals: bool | None = None,
        reward_type: str = "sparse",
        render_mode: str | None = None,
        **changes: Any,
    ) -> None:
        EzPickle.__init__(
            self,
            task,
            points=points,
            helper_goals=helper_goals,
            reward_type=reward_type,
            render_mode=render_mode,
            **changes,
        )
        self.task = changed_task(task, changes)
        helps = wants_helpers(helper_goals, self.task.has_object, points)
        self._mujoco = import_robotics("mujoco")
        self.model = build_model(self.task)
        self.data = self._mujoco.MjData(self.model)
        self._kinematics = GripKinematics(self.model)
        self._controller = ArmController(self.model)
        self._arm, _ = arm_slices(self.model)
        self._fingers = np.array([self.model.joint(name).qposadr[0] for name in FINGER_JOINTS])
        super().__init__(
            panda_goal_box(self.task).goals(self.task.resolution, self.task.tolerance, points),
            helpers=panda_helper_goals(self.task) if helps else None,
            observation_size=6 + int(self.task.fingers_move) + (18 if self.task.has_object else 0),
            action_space=spaces.Box(-1.0, 1.0, (4 if self.task.fingers_move else 3,), np.float32),
            fps=round(1.0 / (SUBSTEPS * TIMESTEP)),
            reward_type=reward_type,
            render_mode=render_mode,
        )

    @cached_property
    def _renderer(self) -> Any:
        from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

        self.model.vis.global_.offwidth = self.model.vis.global_.offheight = FRAME_SIZE
        camera = FAR_CAMERA if self.task.table[1] > PANDA_TASKS["push"].table[1] else CAMERA
        return MujocoRenderer(self.model, self.data, camera, FRAME_SIZE, FRAME_SIZE)

    @cached_property
    def _initial_qpos(self) -> npt.NDArray[np.float64]:
        """Positions of the whole model with the grip at its start position."""
        qpos = self.data.qpos.copy()
        qpos[self._arm] = POSTURE
        # Repeated from the previous solution, because the nominal posture may be far away.
        for _ in range(5):
            qpos[self._arm] = self._kinematics.solve(qpos, np.array(self.task.start))
        return qpos

    def close(self) -> None:
        """Close the window and free the renderer, if it was created."""
        if "_renderer" in self.__dict__:
            super().close()

    def _reset_simulation(self, seed: int | None, options: dict[str, Any]) -> npt.ArrayLike:
        self._mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = self._initial_qpos
        self.data.qpos[self._fingers] = FINGER_OPENING if self.task.fingers_move else 0.0
        self.data.ctrl[len(ARM_JOINTS) :] = self.data.qpos[self._fingers]
        if self.task.has_object:
            self.data.joint(OBJECT).qpos[:3] = [*self._sample_object_position(), self.task.object_size[2]]
        self._mujoco.mj_forward(self.model, self.data)
        return sample_goal(self.task, self.np_random)

    def _sample_object_position(self) -> npt.NDArray[np.float64]:
        center, half_extent = np.array(self.task.object_center), np.array(self.task.object_range)
        while True:
            position = self.np_random.uniform(center - half_extent, center + half_extent)
            if np.linalg.norm(position - self.task.start[:2]) >= self.task.object_distance:
                return np.asarray(position)

    def _step_simulation(self, action: Array) -> None:
        target = self.data.site(GRIP).xpos + self.task.max_displacement * action[:3].astype(np.float64)
        angles = self._kinematics.solve(self.data.qpos, nearest_reachable(target))
        if self.task.fingers_move:
            # Relative to the current opening, so that the action controls the force on an object between the fingers.
            opening = self.data.qpos[self._fingers] + FINGER_OPENING * float(action[3])
            self.data.ctrl[len(ARM_JOINTS) :] = np.clip(opening, 0.0, FINGER_OPENING)
        self._controller.move(self.data, angles, SUBSTEPS)

    def _state(self) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        grip = self.data.site(GRIP)
        parts = [grip.xpos, self._velocity(self._mujoco.mjtObj.mjOBJ_SITE, grip.id)[3:]]
        if self.task.fingers_move:
            parts.append(np.array([self.data.qpos[self._fingers].sum()]))
        if not self.task.has_object:
            return np.concatenate(parts), grip.xpos
        body = self.data.body(OBJECT)
        velocity = self._velocity(self._mujoco.mjtObj.mjOBJ_BODY, body.id)
        columns = body.xmat.reshape(3, 3)[:, :2].T.reshape(-1)
        parts += [body.xpos, body.xpos - grip.xpos, columns, velocity[3:], velocity[:3]]
        return np.concatenate(parts), body.xpos

    def _gripper_and_velocity(self, observation: Array) -> tuple[Array, Array]:
        return observation[..., 0:3], observation[..., -6:-3]

    def _velocity(self, object_type: Any, object_id: int) -> npt.NDArray[np.float64]:
        """Return the angular and the linear velocity in the global frame, ``[6]``."""
        result = np.zeros(6)
        self._mujoco.mj_objectVelocity(self.model, self.data, object_type, object_id, result, 0)
        return result

    def _show_target(self, point: npt.NDArray[np.float64]) -> None:
        move_site(self.model, self.data, TARGET, point)


def changed_task(name: str, changes: dict[str, Any]) -> PandaTask:
    """
    Return a task with other values of some fields; raise ValueError if the result is invalid.

    :param name: name of the task
    :param changes: new values by field
    :return: the task
    """
    check_choice("task", name, tuple(PANDA_TASKS))
    known = [field.name for field in fields(PandaTask)]
    for key in changes:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=3, cutoff=0.4) or known
            raise TypeError(f"expected arguments among the fields of PandaTask, got {key!r}; nearest: {nearest}")
    frozen: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list | np.ndarray) else value for key, value in changes.items()
    }
    task = replace(PANDA_TASKS[name], **frozen)
    check_task(task)
    return task
