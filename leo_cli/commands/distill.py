"""``leo distill``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from leo_cli.commands.options import Assignments, Path, Run, Seed, Trust

if TYPE_CHECKING:
    from leo_cli.environments import Environment
    from leo_cli.run_config import RunConfig

# Arguments of ``distill`` that --set cannot give.
_WITH_OPTIONS = {"teacher", "student_kind", "env", "dataset", "steps", "student_kwargs"}


@dataclass(frozen=True)
class Distill:
    """
    Train a small network to imitate a trained agent, evaluate both, and write it to a file: a model or, with the ending .pt,
    TorchScript, which needs PyTorch alone.

    Examples: `leo distill runs/leodqn-GridWorld-v0`; `leo distill runs/x --set policy_kwargs.net_arch=[32] --out small.pt`.
    """

    run_folder: Run
    """The run's folder."""
    out: Path = None
    """The file, .zip or .pt (not of a ppo); student.zip in the run's folder by default."""
    student: Annotated[str | None, tyro.conf.arg(metavar="ALGORITHM", help_behavior_hint="")] = None
    """leodqn, pqn or ppo, or leotd3 for continuous actions; leodqn or leotd3 by default."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 5_000
    """Number of gradient steps."""
    set: Assignments = ()
    """Arguments of `leo_agents.distill` and of the student, by default policy_kwargs.net_arch=[64]."""
    dataset: Path = None
    """Imitate on the states of this dataset, a folder that `leo collect` wrote, instead of those that the agent visits."""
    seed: Seed = None
    """Seed of the run to imitate."""
    trust: Trust = False

    def run(self) -> int:
        """Train, evaluate and write the student; return the exit code."""
        import inspect
        from pathlib import Path as FilePath

        from leo_agents import GoalDataset, distill
        from leo_cli.algorithms import ALGORITHMS, check_hyperparameters
        from leo_cli.models import load_agent
        from leo_cli.outputs import check_output
        from leo_cli.overrides import merge, parse_assignments
        from leo_cli.run_folder import RunFolder, pick_seed

        run = RunFolder(self.run_folder, self.trust)
        if run.config.points is not None:
            raise ValueError(f"expected a run with a finite goal set, got {run.path}, in which any point is a goal")
        out = check_output(run.path / "student.zip" if self.out is None else FilePath(self.out))
        if out.suffix not in (".zip", ".pt"):
            raise ValueError(f"expected a file with the ending .zip or .pt as --out, got {out}; change it")
        if (out.suffix, self.student) == (".pt", "ppo"):
            raise ValueError("expected leodqn, leotd3 or pqn as --student for TorchScript, got ppo; write a .zip")
        environment = run.config.find_environment()
        is_discrete = hasattr(environment.action_space, "n")
        kind: Any = self.student or ("leodqn" if is_discrete else "leotd3")
        arguments = parse_assignments(self.set, "--set")
        if kind in ALGORITHMS:  # distill raises the error for others
            own = inspect.signature(distill).parameters.keys() - _WITH_OPTIONS
            check_hyperparameters(kind, {key: value for key, value in arguments.items() if key not in own}, "--set")
        teacher, envs = load_agent(run, pick_seed(run, self.seed)), environment.make_vec(run.config.settings.num_envs)
        student = distill(
            teacher,
            kind,
            envs,
            dataset=None if self.dataset is None else GoalDataset.load(self.dataset),
            steps=self.steps,
            **merge({"seed": 0, "policy_kwargs": {"net_arch": [64]}}, arguments),
        )
        envs.close()
        if out.suffix == ".zip":
            student.save(out)
        else:
            policy: Any = student.policy
            policy.to_torchscript().save(str(out))
        for name, agent in (("agent", teacher), ("student", student)):
            success = evaluate_agent(agent, run.config, environment)
            print(f"{name:8s} {num_weights(agent.policy):12,d} weights, mean success {success:.3f}")
        print(f"Wrote {out} ({out.stat().st_size / 1e3:,.0f} kB)")
        return 0


def evaluate_agent(agent: Any, config: "RunConfig", environment: "Environment") -> float:
    """
    Evaluate an agent on the goals of a run, with the settings of its final evaluation.

    :param agent: model or policy
    :param config: configuration of the run
    :param environment: environment of the run
    :return: mean success rate over the goals
    """
    from leo_agents.evaluation import evaluate_goals
    from leo_cli.evaluation import SEED, make_evaluation_envs

    settings, goals = config.settings.evaluation, config.eval_goal_ids
    envs = make_evaluation_envs(environment, len(goals), settings.final_episodes)
    report = evaluate_goals(
        agent,
        envs,
        episodes_per_goal=settings.final_episodes,
        seed=SEED,
        goals=goals,
        max_steps=settings.max_steps,
        epsilon=settings.epsilon,
    )
    envs.close()
    return report.mean_success


def num_weights(policy: Any) -> int:
    """
    Count the weights of the network that acts.

    :param policy: a policy
    :return: number of weights of its Q-network or actor; of the policy if it has neither
    """
    network = next((getattr(policy, name) for name in ("q_net", "actor") if hasattr(policy, name)), policy)
    return sum(parameter.numel() for parameter in network.parameters())
