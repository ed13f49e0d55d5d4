"""Control of the grip position: inverse kinematics by damped least squares, and computed-torque control of the joints."""

from typing import Any

import numpy as np
import numpy.typing as npt

from leo_envs.common.robotics_extra import import_robotics
from leo_envs.panda.scene import ARM_JOINTS, GRIP

Array = npt.NDArray[np.float64]

POSTURE = (0.0, 0.2, 0.0, -2.2, 0.0, 0.7, 0.0)
"""Nominal joint angles, in radians. With seven joints, inverse kinematics is redundant: it prefers angles near these."""

_POSTURE = np.array(POSTURE)
_DAMPING_SQUARED = 1e-4 * np.eye(6)
_POSTURE_GAIN = 0.1
_MAX_ITERATIONS = 6
_ERROR_TOLERANCE = 2e-4
# Largest change of a joint angle per iteration, in radians: the linearization is only valid locally.
_MAX_CHANGE = 0.2

_FREQUENCY = 60.0
"""Natural frequency of the joints' spring-damper dynamics, in rad/s: they cover two thirds of a displacement in 0.04 s."""
# Simulation steps per computation of the torques, which takes as long as a simulation step.
_TORQUE_INTERVAL = 2


class GripKinematics:
    """
    Inverse kinematics of the grip with an upright gripper.

    Uses its own MuJoCo data: the simulation does not change, and solutions depend only on the arguments.

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
        self._error = np.zeros(6)

    def solve(self, qpos: Array, position: Array) -> Array:
        """
        Compute joint angles for a position of the grip.

        :param qpos: initial positions of the whole model
        :param position: target position of the grip ``[3]``
        :return: angles of the arm's joints ``[7]``, within their limits
        """
        data, angles = self._scratch, qpos[self._qpos].copy()
        data.qpos[:] = qpos
        for _ in range(_MAX_ITERATIONS):
            data.qpos[self._qpos] = angles
            self._mujoco.mj_kinematics(self._model, data)
            self._mujoco.mj_comPos(self._model, data)
            error = self._pose_error(position)
            if np.abs(error).max() < _ERROR_TOLERANCE:
                break
            angles = np.clip(angles + self._angle_change(error, angles), self._low, self._high)
        return angles

    def _pose_error(self, position: Array) -> Array:
        """Return the position error and the rotation error (gripper pointing down, fingers opening along y), ``[6]``."""
        # Half the sum of the cross products of the grip's axes with (1, 0, 0), (0, -1, 0) and (0, 0, -1), written out.
        _, xy, xz, yx, _, yz, zx, zy, _ = self._scratch.site_xmat[self._grip].tolist()
        self._error[:3] = position - self._scratch.site_xpos[self._grip]
        self._error[3:] = 0.5 * (zy - yz), 0.5 * (zx + xz), -0.5 * (yx + xy)
        return self._error

    def _angle_change(self, error: Array, angles: Array) -> Array:
        self._mujoco.mj_jacSite(self._model, self._scratch, self._jacobian[:3], self._jacobian[3:], self._grip)
        jacobian = self._jacobian[:, self._dofs]
        # The posture change is projected onto the null space of the task; both need the same factorization.
        posture_change = _POSTURE_GAIN * (_POSTURE - angles)
        task_change = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + _DAMPING_SQUARED, error - jacobian @ posture_change)
        change = task_change + posture_change
        return np.asarray(change * min(1.0, _MAX_CHANGE / max(np.abs(change).max(), 1e-12)))


class ArmController:
    """
    Computed-torque controller of the seven joints. All joints converge at the same rate, so that the grip moves along a
    straight line.

    Each joint follows its target angle like an independent critically damped spring: inertia, gravity and Coriolis forces are
    compensated. If the torques exceed the motors' limits, all are scaled down by the same factor.

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
        Run the simulation while the joints move to their target angles.

        :param data: the MuJoCo data
        :param angles: target angles ``[7]``
        :param substeps: number of simulation steps, an even number
        """
        positions, velocities, bias = data.qpos[self._qpos], data.qvel[self._dofs], data.qfrc_bias[self._dofs]
        motors, acceleration, torque = data.ctrl[: len(angles)], self._acceleration[self._dofs], self._torque[self._dofs]
        for _ in range(substeps // _TORQUE_INTERVAL):
            self._mujoco.mj_step1(self._model, data)
            acceleration[:] = _FREQUENCY**2 * (angles - positions) - 2.0 * _FREQUENCY * velocities
            self._mujoco.mj_mulM(self._model, data, self._torque, self._acceleration)
            # Torque available after compensation of gravity and Coriolis forces.
            available = np.maximum(self._limits - np.sign(torque) * bias, 1e-3 * self._limits)
            motors[:] = torque / max(1.0, np.abs(torque / available).max()) + bias
            self._mujoco.mj_step2(self._model, data)
            self._mujoco.mj_step(self._model, data, nstep=_TORQUE_INTERVAL - 1)
        # mj_step integrates joint positions last: body positions must be updated.
        self._mujoco.mj_forward(self._model, data)


def arm_slices(model: Any) -> tuple[slice, slice]:
    """
    Return the slices of ``qpos`` and ``qvel`` that contain the arm's seven joints.

    :param model: the MuJoCo model
    """
    qpos, dof = (int(address[0]) for address in (model.joint(ARM_JOINTS[0]).qposadr, model.joint(ARM_JOINTS[0]).dofadr))
    return slice(qpos, qpos + len(ARM_JOINTS)), slice(dof, dof + len(ARM_JOINTS))
