"""Multi-goal environments; importing this package registers them with Gymnasium."""

from gymnasium.envs.registration import register

register(
    id="leo/GridWorld-v0",
    entry_point="leo_envs.gridworld:GridWorldEnv",
    vector_entry_point="leo_envs.gridworld:GridWorldVectorEnv",
    max_episode_steps=200,
)
# No max_episode_steps here: the environment truncates itself after as many steps as it has bits.
register(
    id="leo/BitFlip-v0",
    entry_point="leo_envs.bitflip:BitFlipEnv",
    vector_entry_point="leo_envs.bitflip:BitFlipVectorEnv",
)
# Nor here: they tell a time-out from a death themselves, and the vector environments have no TimeLimit around them.
for _id, _game in (("leo/CraftaxClassic-v0", "classic"), ("leo/Craftax-v0", "full")):
    register(
        id=_id,
        entry_point="leo_envs.craftax:CraftaxEnv",
        vector_entry_point="leo_envs.craftax:CraftaxVectorEnv",
        kwargs={"game": _game},
    )
