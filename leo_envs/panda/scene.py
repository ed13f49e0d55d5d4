"""MuJoCo scene of the Panda tasks: the robot of Gymnasium-Robotics, a table, an object and a target."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled

from leo_envs.common.robotics_extra import import_robotics
from leo_envs.panda.tasks import PandaTask

ARM_JOINTS = tuple(f"robot:panda0_joint{number}" for number in range(1, 8))
FINGER_JOINTS = ("robot:panda0_finger_joint1", "robot:panda0_finger_joint2")
GRIP, OBJECT, TARGET = "grip", "object", "target"
FINGER_OPENING = 0.04
"""Largest displacement of each finger, in meters."""

TIMESTEP = 0.002
TABLE_HEIGHT = 0.4

_JOINT_DAMPING = 1.0
_FINGER_STIFFNESS, _FINGER_DAMPING, _FINGER_ARMATURE = 1000.0, 60.0, 0.5

# Pose of the grip, the point between the fingertips, relative to the last link; the fingers open along its y axis.
_GRIP_POSITION = (0.0, 0.0, 0.2475)
_GRIP_QUATERNION = (0.92388, 0.0, 0.0, -0.382683)

_SCENE = """
<mujoco model="panda">
  <include file="{robot}/assets.xml"/>
  <include file="{robot}/actuator.xml"/>
  <compiler angle="radian" meshdir="{robot}/meshes" autolimits="true"/>
  <option timestep="{timestep}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <visual>
    <headlight ambient="0.35 0.35 0.35" diffuse="0.4 0.4 0.4" specular="0.1 0.1 0.1"/>
    <quality shadowsize="2048"/>
  </visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.93 0.95 0.97" rgb2="0.70 0.76 0.84" width="64" height="64"/>
  </asset>
  <worldbody>
    <light pos="0.6 -1.2 2.2" dir="-0.1 0.5 -1" directional="true" diffuse="0.55 0.55 0.55" specular="0.1 0.1 0.1"/>
    <geom name="floor" type="plane" pos="0 0 -{table_height}" size="4 4 0.1" rgba="0.60 0.63 0.67 1"/>
    <geom name="table" type="box" pos="{table_x} 0 -{half_height}" size="{table_length} {table_width} {half_height}"
          rgba="0.86 0.80 0.70 1"/>
    <include file="{robot}/chain.xml"/>
    <site name="{target}" pos="0.5 0 0.25" type="sphere" size="{tolerance}" rgba="0.10 0.65 0.35 0.35"/>
  </worldbody>
</mujoco>
"""


def build_model(task: PandaTask) -> Any:
    """
    Compile the scene of a task.

    :param task: the task
    :return: the MuJoCo model
    """
    mujoco = import_robotics("mujoco")
    near, far, side = task.table
    spec = mujoco.MjSpec.from_string(
        _SCENE.format(
            robot=_robot_folder(),
            timestep=TIMESTEP,
            table_height=TABLE_HEIGHT,
            half_height=TABLE_HEIGHT / 2,
            table_x=(near + far) / 2,
            table_length=(far - near) / 2,
            table_width=side,
            target=TARGET,
            tolerance=task.tolerance,
        )
    )
    for geom in spec.body("panda0_link0").find_all("geom"):
        # Disables self-collisions, which the posture prevents; the arm still collides with the table and the object.
        geom.conaffinity = 0
    _add_grip(spec)
    if task.has_object:
        _add_object(mujoco, spec, task)
    model = spec.compile()
    _tune_joints(mujoco, model)
    return model


def _robot_folder() -> str:
    # Without importing the package, which takes a second: only its files are needed.
    package = importlib.util.find_spec("gymnasium_robotics")
    if package is None or package.origin is None:
        raise DependencyNotInstalled(
            "expected gymnasium-robotics, which contains the model of the Panda arm, got no such package; "
            'run `pip install "leo-rl[robotics]"`'
        )
    return (Path(package.origin).parent / "envs/assets/kitchen_franka/franka_assets").as_posix()


def _add_grip(spec: Any) -> None:
    spec.body("panda0_link7").add_site(
        name=GRIP, pos=_GRIP_POSITION, quat=_GRIP_QUATERNION, size=[0.005, 0.005, 0.005], group=4
    )


def _tune_joints(mujoco: Any, model: Any) -> None:
    # In the compiled model, because MjSpec's format of the damping differs between MuJoCo versions.
    arm, fingers = slice(0, len(ARM_JOINTS)), slice(len(ARM_JOINTS), None)
    # The arm's position actuators become torque motors with the same limits, for the controller.
    model.actuator_gainprm[arm, 0] = 1.0
    model.actuator_biasprm[arm] = 0.0
    model.actuator_ctrlrange[arm] = model.actuator_forcerange[arm]
    model.actuator_gainprm[fingers, 0] = _FINGER_STIFFNESS
    model.actuator_biasprm[fingers, 1] = -_FINGER_STIFFNESS
    for name in ARM_JOINTS:
        model.dof_damping[model.joint(name).dofadr] = _JOINT_DAMPING
    for name in FINGER_JOINTS:
        model.dof_damping[model.joint(name).dofadr] = _FINGER_DAMPING
        model.dof_armature[model.joint(name).dofadr] = _FINGER_ARMATURE
    # Updates the constants that the compiler derives from these parameters.
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _add_object(mujoco: Any, spec: Any, task: PandaTask) -> None:
    body = spec.worldbody.add_body(name=OBJECT, pos=[*task.object_center, task.object_size[2]])
    body.add_freejoint(name=OBJECT)
    is_box = task.object_shape == "box"
    size = task.object_size if is_box else (task.object_size[0], task.object_size[2], 0.0)
    body.add_geom(
        name=OBJECT,
        type=mujoco.mjtGeom.mjGEOM_BOX if is_box else mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=np.array(size),
        mass=task.object_mass,
        # Priority makes the object's parameters apply to all its contacts: its friction, and the stiffest contacts that the
        # timestep allows. With softer ones, the arm would push such a light object into the table.
        priority=1,
        solref=[2 * TIMESTEP, 1.0],
        solimp=[0.95, 0.99, 0.001, 0.5, 2.0],
        condim=4,
        friction=[task.friction, 0.005 * task.friction, 0.0001],
        rgba=[0.16, 0.38, 0.78, 1.0],
    )
