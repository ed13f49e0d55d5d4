"""Multi-goal environments; importing this package registers them with Gymnasium."""

from gymnasium.envs.registration import register

register(
    id="leo/GridWorld-v0",
    entry_point="leo_envs.gridworld:GridWorldEnv",
    vector_entry_point="leo_envs.gridworld:GridWorldVectorEnv",
    max_episode_steps=200,
)
# No max_episode_steps: the default time limit depends on n_bits.
register(
    id="leo/BitFlip-v0",
    entry_point="leo_envs.bitflip:BitFlipEnv",
    vector_entry_point="leo_envs.bitflip:BitFlipVectorEnv",
)
# No max_episode_steps: Craftax has its own time limit, which must not be reported as a termination.
for _id, _variant in (("leo/CraftaxClassic-v0", "classic"), ("leo/Craftax-v0", "full")):
    register(
        id=_id,
        entry_point="leo_envs.craftax:CraftaxEnv",
        vector_entry_point="leo_envs.craftax:CraftaxVectorEnv",
        kwargs={"variant": _variant},
    )
for task, name in (("reach", "Reach"), ("push", "Push"), ("slide", "Slide"), ("pick_and_place", "PickAndPlace")):
    register(f"leo/Fetch{name}-v0", "leo_envs.robotics:FetchEnv", max_episode_steps=50, kwargs={"task": task})
    register(f"leo/Panda{name}-v0", "leo_envs.panda:PandaEnv", max_episode_steps=50, kwargs={"task": task})
# Larger mazes get longer episodes, as in Gymnasium-Robotics.
for maze, point_steps, ant_steps in (("UMaze", 300, 700), ("Open", 300, 700), ("Medium", 600, 1000), ("Large", 800, 1000)):
    for variant in ("",) if maze == "UMaze" else ("", "_Diverse_G", "_Diverse_GR"):
        for name, robot, steps in (("PointMaze", "point", point_steps), ("AntMaze", "ant", ant_steps)):
            register(
                id=f"leo/{name}_{maze}{variant}-v0",
                entry_point="leo_envs.robotics:MazeEnv",
                max_episode_steps=steps,
                kwargs={"robot": robot, "maze": maze + variant},
            )
register(id="leo/HandReach-v0", entry_point="leo_envs.robotics:HandReachEnv", max_episode_steps=50)
register(id="leo/FrankaKitchen-v0", entry_point="leo_envs.robotics:FrankaKitchenEnv", max_episode_steps=280)
register(
    id="leo/MountainCar-v0",
    entry_point="leo_envs.mountain_car:MountainCarEnv",
    vector_entry_point="leo_envs.mountain_car:MountainCarVectorEnv",
    max_episode_steps=100,
)
register(
    id="leo/MountainCarContinuous-v0",
    entry_point="leo_envs.mountain_car:MountainCarContinuousEnv",
    max_episode_steps=100,
)
# Only goals of things that occur; leo/MiniGrid-v0 has all goals of any level.
register(id="leo/MiniGrid-v0", entry_point="leo_envs.minigrid:MiniGridEnv")
for level, goals in (
    ("MiniGrid-Empty-8x8-v0", ("at/goal",)),
    ("MiniGrid-DoorKey-6x6-v0", ("at/goal", "*/yellow key", "*/yellow door")),
    ("BabyAI-GoToLocal-v0", ("facing/* key", "facing/* ball", "facing/* box", "carrying/* *")),
    ("BabyAI-PickupDist-v0", ("facing/* key", "facing/* ball", "facing/* box", "carrying/*")),
    ("BabyAI-UnlockLocal-v0", ("*/*key", "*/*door")),
):
    arguments = {"level": level, "goals": ("cell/*", *goals)}
    register(id=f"leo/{level}", entry_point="leo_envs.minigrid:MiniGridEnv", kwargs=arguments)
# Here too: leo/XLand-v0 has the default goals of any level.
register("leo/XLand-v0", "leo_envs.xland:XLandEnv", vector_entry_point="leo_envs.xland:XLandVectorEnv")
for name, level, xland_goals in (
    ("XLand-R4-13x13", "XLand-MiniGrid-R4-13x13", None),
    ("XMiniGrid-FourRooms", "MiniGrid-FourRooms", ("cell/*", "on/goal")),
    ("XMiniGrid-DoorKey-8x8", "MiniGrid-DoorKey-8x8", ("cell/*", "on/*", "*/key", "near/locked door", "exists/*")),
    ("XMiniGrid-Unlock", "MiniGrid-Unlock", ("cell/*", "on/open door", "*/key", "near/locked door", "exists/*")),
):
    register(
        id=f"leo/{name}-v0",
        entry_point="leo_envs.xland:XLandEnv",
        vector_entry_point="leo_envs.xland:XLandVectorEnv",
        kwargs={"level": level, "goals": xland_goals},
    )
# Enough for several rooms; leo/Atari-v0 has all goals of a game, and no limit but that of the emulator, 27,000 steps.
register(id="leo/Atari-v0", entry_point="leo_envs.atari:AtariEnv")
for name, game, patterns in (
    ("MontezumaRevenge", "montezuma_revenge", ("room/*", "item/*", "cell/[012]/*")),
    ("MsPacman", "ms_pacman", ("*",)),
    ("Pitfall", "pitfall", ("room/*", "treasure/*", "cell/0/*", "cell/[+-][123]/*")),
):
    kwargs = {"game": game, "goals": patterns}
    register(id=f"leo/{name}-v0", entry_point="leo_envs.atari:AtariEnv", max_episode_steps=2000, kwargs=kwargs)
