"""Batches of Craftax states for tests (initial, from random play, randomly edited, blank) and their observations."""

import functools
from collections.abc import Callable, Iterator
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from leo_envs.craftax.goals import classic_goals_achieved, full_goals_achieved
from leo_envs.craftax.observations import make_observation

VARIANTS = ("classic", "full")
NUM_FLOORS = 9
SMALL = 16
"""Height and width of the cropped maps of edited states: a thousand full maps would take gigabytes."""

_BATCH = 50


@functools.cache
def craftax_env(variant: str) -> Any:
    """Return the original environment."""
    if variant == "classic":
        from craftax.craftax_classic.envs.craftax_symbolic_env import CraftaxClassicSymbolicEnvNoAutoReset

        return CraftaxClassicSymbolicEnvNoAutoReset()
    from craftax.craftax.envs.craftax_symbolic_env import CraftaxSymbolicEnvNoAutoReset

    return CraftaxSymbolicEnvNoAutoReset()


def mob_fields(variant: str) -> tuple[str, ...]:
    """Return the fields of the state that contain mobs, in the order of their channels."""
    if variant == "classic":
        return ("zombies", "cows", "skeletons", "arrows")
    return ("melee_mobs", "passive_mobs", "ranged_mobs", "mob_projectiles", "player_projectiles")


@functools.cache
def initial_states(variant: str) -> Any:
    """Return a batch of initial states."""
    env = craftax_env(variant)
    reset = jax.jit(jax.vmap(lambda key: env.reset_env(key, env.default_params)[1]))
    return reset(jax.random.split(jax.random.key(0), _BATCH))


@functools.cache
def observe_function(variant: str) -> Callable[[Any], Any]:
    """Return a compiled function from a batch of states to masks, compact and symbolic observations."""
    achieved = classic_goals_achieved if variant == "classic" else full_goals_achieved
    compact, symbolic = make_observation(variant, "compact").encode, make_observation(variant, "symbolic").encode
    return jax.jit(jax.vmap(lambda state: (achieved(state), compact(state), symbolic(state))))


def observe(variant: str, states: Any) -> SimpleNamespace:
    """
    Compute masks and observations of states.

    :param variant: ``"classic"`` or ``"full"``
    :param states: a batch of any size
    :return: ``masks``, ``compact``, ``symbolic`` and ``states`` without their maps, all as NumPy arrays
    """
    # JAX's random keys cannot be converted to NumPy.
    states = jax.device_get(states.replace(state_rng=None))
    total = len(states.timestep)
    parts = []
    for start in range(0, total, _BATCH):
        # The last batch is padded: another size would be compiled separately.
        rows = np.minimum(np.arange(start, start + _BATCH), total - 1)
        parts.append(jax.device_get(observe_function(variant)(jax.tree.map(lambda leaf, rows=rows: leaf[rows], states))))
    masks, compact, symbolic = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:total], *parts)
    without_maps = states.replace(**{name: None for name in _maps(states)})
    return SimpleNamespace(masks=masks, compact=compact, symbolic=symbolic, states=without_maps)


def _maps(states: Any) -> list[str]:
    return [name for name in ("map", "item_map", "light_map", "mob_map") if hasattr(states, name)]


def concatenate(parts: list[SimpleNamespace]) -> SimpleNamespace:
    """Concatenate the results of several calls of :func:`observe`."""
    fields = zip(*(vars(part).values() for part in parts), strict=True)
    joined = [jax.tree.map(lambda *leaves: np.concatenate(leaves), *values) for values in fields]
    return SimpleNamespace(**dict(zip(vars(parts[0]), joined, strict=True)))


@functools.cache
def played(variant: str) -> SimpleNamespace:
    """Return masks and observations of 1,000 states of random play, in Craftax started on all floors."""
    env = craftax_env(variant)
    step = jax.jit(jax.vmap(lambda key, state, action: env.step_env(key, state, action, env.default_params)[1]))
    states = initial_states(variant)
    if variant == "full":
        floors = np.arange(_BATCH) % NUM_FLOORS
        ladders = np.asarray(states.up_ladders)[np.arange(_BATCH), floors]
        start = np.where(floors[:, None] > 0, ladders, states.player_position).astype(np.int32)
        states = states.replace(player_level=floors.astype(np.int32), player_position=start)
    parts = []
    key = jax.random.key(1)
    for number in range(100):
        key, actions_key, step_key = jax.random.split(key, 3)
        actions = jax.random.randint(actions_key, (_BATCH,), 0, env.num_actions)
        states = step(jax.random.split(step_key, _BATCH), states, actions)
        if number % 5 == 4:
            parts.append(observe(variant, states))
    return concatenate(parts)


def blank_states(variant: str, count: int) -> Any:
    """
    Return states that achieve no goal except that of the floor: invalid blocks, no items, no mobs, an empty inventory.

    :param variant: ``"classic"`` or ``"full"``
    :param count: number of states
    :return: a batch of states as writable arrays, with the player in the center of a small, fully lit map
    """
    whole = initial_states(variant).replace(state_rng=None)
    cut = whole.replace(**{name: getattr(whole, name)[..., :SMALL, :SMALL] for name in _maps(whole)})
    batch = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[:1], count, axis=0), cut)
    for name in _maps(batch):
        put(batch, slice(None), name, 1.0 if name == "light_map" else 0)
    put(batch, slice(None), "player_position", SMALL // 2)
    for mobs in mob_fields(variant):
        put(batch, slice(None), f"{mobs}.mask", False)
    return batch


def put(states: Any, row: Any, field: str, value: Any, where: tuple[Any, ...] = ()) -> None:
    """
    Set a field of one state, in place.

    :param states: a batch of states as writable arrays
    :param row: index of the state
    :param field: path of the field, separated by dots
    :param value: the new value
    :param where: index into the field
    """
    attrgetter(field)(states)[(row, *where)] = value


@functools.cache
def edited(variant: str) -> SimpleNamespace:
    """Return masks and observations of 1,000 states with random values in all fields that goals or observations depend on."""
    rng = np.random.default_rng(3)
    states = blank_states(variant, 1000)
    for field, values in (_random_classic if variant == "classic" else _random_full)(rng, states):
        array = attrgetter(field)(states)
        array[...] = values(array.shape)
    return observe(variant, states)


def _random_world(rng: np.random.Generator, states: Any, variant: str, num_blocks: int) -> Iterator[tuple[str, Any]]:
    """Yield random maps, player positions (often at an edge or in a corner) and mobs near the player, alive or dead."""
    yield "map", lambda shape: rng.integers(0, num_blocks, shape)
    position = np.clip(rng.integers(-6, SMALL + 6, (len(states.timestep), 2)), 0, SMALL - 1)
    yield "player_position", lambda shape: position
    around = position[:, None] if variant == "classic" else position[:, None, None]
    for mobs in mob_fields(variant):
        near = rng.random() < 0.8
        spread = (-1, 2) if near else (-9, 10)
        yield f"{mobs}.position", lambda shape, spread=spread: around + rng.integers(*spread, shape)
        yield f"{mobs}.mask", lambda shape: rng.random(shape) < 0.7
    yield "player_direction", lambda shape: rng.integers(1, 5, shape)
    yield "light_level", lambda shape: rng.random(shape)
    yield "is_sleeping", lambda shape: rng.random(shape) < 0.5


def _random_classic(rng: np.random.Generator, states: Any) -> Iterator[tuple[str, Any]]:
    yield from _random_world(rng, states, "classic", 17)
    for name in vars(states.inventory):
        yield f"inventory.{name}", lambda shape: rng.integers(0, 10, shape)
    for name in ("health", "food", "drink", "energy"):
        yield f"player_{name}", lambda shape: rng.integers(0, 10, shape)


def _random_full(rng: np.random.Generator, states: Any) -> Iterator[tuple[str, Any]]:
    yield from _random_world(rng, states, "full", 37)
    yield "player_level", lambda shape: rng.integers(0, NUM_FLOORS, shape)
    yield "item_map", lambda shape: rng.integers(0, 5, shape)
    # Includes the float32 numbers on both sides of the threshold.
    light = np.array([0.0, 0.049, 0.05, np.nextafter(np.float32(0.05), np.float32(1)), 0.5, 1.0, 1.0, 1.0], dtype=np.float32)
    yield "light_map", lambda shape: rng.choice(light, shape)
    types = {"passive_mobs": [0, 1, 2], "mob_projectiles": [0, 1, 2, 4, 5, 6, 7], "player_projectiles": [2, 3, 4]}
    for mobs in mob_fields("full"):
        yield f"{mobs}.type_id", lambda shape, mobs=mobs: rng.choice(types.get(mobs, range(8)), shape)
    levels = {"pickaxe": 4, "sword": 4, "bow": 1, "armour": 2, "books": 2}
    for name in vars(states.inventory):
        top = levels.get(name, 99)
        yield f"inventory.{name}", lambda shape, top=top: rng.integers(0, rng.choice([10, 100], shape).clip(max=top + 1))
    for name, top in {"food": 17, "drink": 17, "energy": 17, "mana": 21, "xp": 8}.items():
        yield f"player_{name}", lambda shape, top=top: rng.integers(0, top + 1, shape)
    for name in ("dexterity", "strength", "intelligence"):
        yield f"player_{name}", lambda shape: rng.integers(1, 6, shape)
    for name in ("sword_enchantment", "bow_enchantment", "armour_enchantments"):
        yield name, lambda shape: rng.integers(0, 3, shape)
    yield "player_health", lambda shape: rng.random(shape) * 13
    yield "is_resting", lambda shape: rng.random(shape) < 0.5
    yield "learned_spells", lambda shape: rng.random(shape) < 0.5
    yield "monsters_killed", lambda shape: rng.integers(6, 10, shape)
    yield "boss_timesteps_to_spawn_this_round", lambda shape: rng.integers(-1, 2, shape)
