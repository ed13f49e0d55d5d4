"""
Five quests in Craftax-Classic as programs of goals, with an agent that was trained on single goals.

Run ``leo train leopqn CraftaxClassic`` first, then ``python benchmarks/craftax_quests.py --run RUN``; results are written to
``benchmarks/results/craftax_quests.json``. Craftax-Classic's 136 goals are states of the inventory and of the neighboring
cells: standing at water stands for drinking, and nothing stands for sleeping.

- composed: ``ProgramPolicy``. The distances between goals are its values at the first observation in which the agent itself
  achieved each goal within ``--collect`` steps; goals that it did not achieve have the values at the start of an episode.
- current values only: the same without distances between goals.
- chained: the nearest goal that shortens the rest of the program, one after the other.
- random actions.

Each quest is attempted in ``--episodes`` new maps, with at most ``--max-steps`` steps. Intervals are 95 % Wilson intervals
over the episodes. All methods take a random action with the probability of the run's evaluation (``epsilon``, 0.05), because a
greedy policy can get stuck at obstacles.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from gridworld_programs import Chained
from machine import describe

from leo_agents.evaluation import wilson_interval
from leo_agents.programs import ProgramPolicy, collect_goal_observations, evaluate_programs
from leo_cli.models import load_agent
from leo_cli.programs import check_programs
from leo_cli.run_folder import RunFolder

QUESTS = {
    "visit a tree, water and a cow": "block_map/TREE_* then block_map/WATER_* then mob_map/cow_*",
    "two pieces of wood, then water, away from zombies": "inventory/wood_2 then block_map/WATER_* avoiding mob_map/zombie_*",
    "place a table": "inventory/wood_* then block_map/CRAFTING_TABLE_*",
    "wood pickaxe": "block_map/CRAFTING_TABLE_* then tools/wood_pickaxe",
    "stone, then water": "tools/wood_pickaxe then inventory/stone_1 then block_map/WATER_*",
}
METHODS = ("composed", "current values only", "chained", "random actions")


class RandomAgent:
    """
    Acts uniformly at random.

    :param action_space: the actions
    """

    def __init__(self, action_space: Any) -> None:
        self.action_space = action_space

    def predict(self, observation: Any, deterministic: bool = True) -> tuple[Any, None]:
        """Return a random action."""
        return self.action_space.sample(), None


def run(agent: Any, env: Any, programs: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """
    Evaluate all methods.

    :param agent: the agent
    :param env: the environment
    :param programs: the quests
    :param options: command line options
    :return: a line per method and quest
    """
    observations, found = collect_goal_observations(agent, env, options.collect, seed=0)
    print(f"{found.sum()} of {len(found)} goals achieved in {options.collect} steps")
    env.action_space.seed(0)
    policies: dict[str, Any] = {
        "composed": lambda automaton: ProgramPolicy(agent, automaton, observations),
        "current values only": lambda automaton: ProgramPolicy(agent, automaton),
        "chained": lambda automaton: Chained(agent, automaton),
        "random actions": lambda automaton: RandomAgent(env.action_space),
    }
    lines = []
    for method in METHODS:
        limits = {"max_steps": options.max_steps, "epsilon": options.epsilon, "make_policy": policies[method]}
        for result in evaluate_programs(agent, env, programs, options.episodes, 1_000, **limits):
            low, high = (float(bound[0]) for bound in wilson_interval([len(result.steps)], [result.episodes]))
            steps = round(float(np.mean(result.steps)), 1) if result.steps else None
            counts = {"completed": result.completed, "interval": [round(low, 3), round(high, 3)], "steps": steps}
            lines.append({"method": method, "program": result.program, **counts, "violated": result.violated})
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="folder of a run; its first seed is taken")
    parser.add_argument(
        "--programs", nargs="+", default=list(QUESTS.values()), help="other programs, also of other environments"
    )
    parser.add_argument("--episodes", type=int, default=20, help="episodes per quest")
    parser.add_argument("--max-steps", type=int, default=500, help="largest number of steps of an episode")
    parser.add_argument("--collect", type=int, default=20_000, help="steps in which the agent collects observations of goals")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "craftax_quests")
    options = parser.parse_args()
    folder = RunFolder(options.run)
    seed, options.epsilon = folder.started_seeds[0], folder.config.settings.evaluation.epsilon
    programs = [program.name for program in check_programs(folder.config, options.programs)]
    lines = run(load_agent(folder, seed), folder.config.find_environment().make(), programs, options)
    about = {
        "what": (__doc__ or "").strip(),
        "agent": {
            "algorithm": folder.config.algorithm,
            "environment": folder.config.environment,
            "steps": seed.loadable_steps,
        },
        "options": {key: value for key, value in vars(options).items() if key not in ("out", "run")},
        "machine": describe("gymnasium", "numpy", "stable-baselines3", "torch"),
        "table": lines,
    }
    options.out.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
