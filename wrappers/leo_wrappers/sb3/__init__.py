"""Multi-goal environments as vectorized environments of Stable-Baselines3."""

try:
    import stable_baselines3  # noqa: F401
except ImportError as error:
    raise ImportError('leo_wrappers.sb3 needs Stable-Baselines3; install it with: pip install "leo-rl[agents]"') from error

from typing import TYPE_CHECKING, Any

from leo_wrappers.sb3.array_step import ArrayStep, step_arrays, step_tensors
from leo_wrappers.sb3.goal_sampler import VecGoalSampler
from leo_wrappers.sb3.gym_vec_env import GymVecEnv

if TYPE_CHECKING:
    from leo_wrappers.sb3.jax_vec_env import JaxVecEnv

__all__ = ["ArrayStep", "GymVecEnv", "JaxVecEnv", "VecGoalSampler", "step_arrays", "step_tensors"]


def __getattr__(name: str) -> Any:
    # Imported lazily, because it needs JAX.
    if name != "JaxVecEnv":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from leo_wrappers.sb3.jax_vec_env import JaxVecEnv

    return JaxVecEnv
