"""Moves the grip: inverse kinematics by damped least squares, and torques that bring the joints there together."""

from typing import Any

import numpy as np
import numpy.typing as npt

from leo_envs.common.robotics_extra import import_robotics
from leo_envs.panda.scene import ARM_JOINTS, GRIP

Array = npt.NDArray[np.float64]

POSTURE = (0.0, 0.2, 0.0, -2.2, 0.0, 0.7, 0.0)
"""Joint angles, in radians, of a good posture: the seventh joint leaves a choice, which falls on what is nearest to this."""

_POSTURE = np.array(POSTURE)
_DAMPING_SQUARED = 1e-4 * np.eye(6)
_POSTURE_GAIN = 0.1
_MOST_ITERATIONS = 6
_CLOSE_ENOUGH = 2e-4
# A single iteration turns no joint further, in radians: the linear model behind it holds only nearby.
_LARGEST_TURN = 0.2

_FREQUENCY = 60.0
"""Of the springs that the joints follow, in radians a second: a step of 0.04 s covers two thirds of the way."""
# Torques stay for this many of the simulation's steps: computing them takes as long as simulating one.
_HELD = 2


class GripKinematics:
    """
    Joint angles that bring the grip to a place, with the gripper upright.

    It works on a copy of the simulation's state: asking changes nothing, and the answer depends on the arguments alone.

    :param model: the MuJoCo model
    """

    def __init__(self, model: Any) -> None:
        self._mujoco = import_robotics("mujoco")
        self._model = model
        self._scratch = self._mujoco.MjData(model)
        self._grip = model.site(GRIP).id
        self._qpos, self._dofs = arm_slices(model)
        self._low, self._high = model.jnt_range[[model.joint(name).id for name in ARM_JOINTS]].T
        self._jacobian = np.zeros((6, model.nv))
        self._missing = np.zeros(6)

    def solve(self, qpos: Array, place: Array) -> Array:
        """
        The angles of the seven joints.

        :param qpos: the state to begin from, of the whole model
        :param place: where the grip shall be ``[3]``
        :return: ``[7]``, within the joints' limits
        """
        data, angles = self._scratch, qpos[self._qpos].copy()
        data.qpos[:] = qpos
        for _ in range(_MOST_ITERATIONS):
            data.qpos[self._qpos] = angles
            self._mujoco.mj_kinematics(self._model, data)
            self._mujoco.mj_comPos(self._model, data)
            error = self._error(place)
            if np.abs(error).max() < _CLOSE_ENOUGH:
                break
            angles = np.clip(angles + self._turn(error, angles), self._low, self._high)
        return angles

    def _error(self, place: Array) -> Array:
        """What is missing in position, and in rotation as a vector: the gripper points down, the fingers open along y."""
        # Half the sum of the cross products of the grip's axes with (1, 0, 0), (0, -1, 0) and (0, 0, -1), written out.
        _, xy, xz, yx, _, yz, zx, zy, _ = self._scratch.site_xmat[self._grip].tolist()
        self._missing[:3] = place - self._scratch.site_xpos[self._grip]
        self._missing[3:] = 0.5 * (zy - yz), 0.5 * (zx + xz), -0.5 * (yx + xy)
        return self._missing

    def _turn(self, error: Array, angles: Array) -> Array:
        self._mujoco.mj_jacSite(self._model, self._scratch, self._jacobian[:3], self._jacobian[3:], self._grip)
        jacobian = self._jacobian[:, self._dofs]
        # One factorisation for both: what reduces the error, and what the wish for a good posture would add to it.
        wish = _POSTURE_GAIN * (_POSTURE - angles)
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + _DAMPING_SQUARED, error - jacobian @ wish)
        turn = step + wish
        return np.asarray(turn * min(1.0, _LARGEST_TURN / max(np.abs(turn).max(), 1e-12)))


class ArmController:
    """
    Torques that bring the seven joints to given angles, all in the same time, so that the grip moves along a straight line.

    Each joint follows its angle as a critically damped spring would, whatever the others do: their common inertia, weight and
    velocity are computed and cancelled. Where the motors are too weak, all slow down together.

    :param model: the MuJoCo model
    """

    def __init__(self, model: Any) -> None:
        self._mujoco = import_robotics("mujoco")
        self._model = model
        self._qpos, self._dofs = arm_slices(model)
        self._limits = model.actuator_forcerange[: len(ARM_JOINTS), 1].copy()
        self._acceleration = np.zeros(model.nv)
        self._torque = np.zeros(model.nv)

    def move(self, data: Any, angles: Array, substeps: int) -> None:
        """
        Runs the simulation while the joints go to their angles.

        :param data: the simulation's state
        :param angles: ``[7]``
        :param substeps: how many of the simulation's steps to take, an even number
        """
        positions, velocities, weights = data.qpos[self._qpos], data.qvel[self._dofs], data.qfrc_bias[self._dofs]
        motors, acceleration, torque = data.ctrl[: len(angles)], self._acceleration[self._dofs], self._torque[self._dofs]
        for _ in range(substeps // _HELD):
            self._mujoco.mj_step1(self._model, data)
            acceleration[:] = _FREQUENCY**2 * (angles - positions) - 2.0 * _FREQUENCY * velocities
            self._mujoco.mj_mulM(self._model, data, self._torque, self._acceleration)
            # What the arm's weight leaves of the motors' strength.
            spare = np.maximum(self._limits - np.sign(torque) * weights, 1e-3 * self._limits)
            motors[:] = torque / max(1.0, np.abs(torque / spare).max()) + weights
            self._mujoco.mj_step2(self._model, data)
            self._mujoco.mj_step(self._model, data, nstep=_HELD - 1)
        # A step leaves the places of bodies as they were before its last instant.
        self._mujoco.mj_forward(self._model, data)


def arm_slices(model: Any) -> tuple[slice, slice]:
    """
    Where the arm's seven joints are among the positions and among the velocities of a state.

    :param model: the MuJoCo model
    """
    qpos, dof = (int(address[0]) for address in (model.joint(ARM_JOINTS[0]).qposadr, model.joint(ARM_JOINTS[0]).dofadr))
    return slice(qpos, qpos + len(ARM_JOINTS)), slice(dof, dof + len(ARM_JOINTS))
