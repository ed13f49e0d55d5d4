"""``leo play``."""

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from leo_cli.commands.options import Assignments, Count, Programs, RepeatedNames, Seed, Trust

if TYPE_CHECKING:
    from leo_cli.named_goals import NamedGoal
    from leo_cli.run_config import RunConfig
    from leo_cli.run_folder import RunFolder

_MAX_LISTED = 40
_PROMPT = "goal ({}; Enter for a random one; l to list; q to quit): "


@dataclass(frozen=True)
class Play:
    """
    Command an agent to reach goals and watch it; or, with an environment instead of a run, play it by keyboard.

    Examples: `leo play runs/leodqn-GridWorld-v0`; `leo play CraftaxClassic`; `leo play runs/x --goal cell/0,0`;
    `leo play runs/x --program "cell/0,0 then cell/15,14"`.
    """

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_OR_ENV", help_behavior_hint="")]
    """A run's folder, hub:user/name for a run on the Hub, or an environment."""
    goal: RepeatedNames = ()
    """Goal to reach, a name or coordinates such as 1.3,0.7,0.5, instead of asking; repeat it for several in sequence."""
    program: Programs = ()
    view: Literal["auto", "window", "terminal"] = "auto"
    """Where to render; auto opens a window if there is a display."""
    seed: Seed = None
    """Seed of the run to play; by keyboard, seed of the environment."""
    max_steps: Count = None
    """Maximum number of steps per goal."""
    fps: float = 8.0
    """Steps per second."""
    env_set: Assignments = ()
    """Arguments of the environment, when played by keyboard."""
    trust: Trust = False

    def run(self) -> int:
        """Play the agent of a run, or an environment by keyboard; return the exit code."""
        from leo_cli.environments import find_environment
        from leo_cli.overrides import parse_assignments
        from leo_cli.run_folder import HUB_PREFIX, RunFolder

        if self.fps <= 0:
            raise ValueError(f"expected --fps above 0, got {self.fps}; 8 is usual")
        if os.path.isdir(self.target) or self.target.startswith(("runs/", "./", "../", os.sep, HUB_PREFIX)):
            self._play_agent(RunFolder(self.target, self.trust))
            return 0
        if self.goal or self.program:
            raise ValueError(
                f"expected --goal or --program with a run's folder, got it with {self.target!r}; by keyboard, omit it"
            )
        from leo_cli.keyboard import play_in_terminal, play_in_window

        environment = find_environment(self.target, parse_assignments(self.env_set, "--env-set"))
        environment.check_goal_set()
        if self._in_window():
            play_in_window(environment.make("rgb_array"), self.seed)
        else:
            play_in_terminal(environment.make(environment.terminal_render_mode), self.seed)
        return 0

    def _in_window(self) -> bool:
        has_display = os.name == "nt" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
        return self.view == "window" or (self.view == "auto" and has_display)

    def _play_agent(self, run: "RunFolder") -> None:
        from leo_cli.agent_rollout import make_rollout
        from leo_cli.models import load_agent
        from leo_cli.programs import ProgramRollout, check_programs
        from leo_cli.run_folder import pick_seed

        goals = [run.config.find_goal(goal) for goal in self.goal]
        programs = check_programs(run.config, self.program)
        agent = load_agent(run, pick_seed(run, self.seed))
        environment = run.config.find_environment()
        env = environment.make("rgb_array" if self._in_window() else environment.terminal_render_mode)
        settings = run.config.settings.evaluation
        rollout = make_rollout(agent, env, epsilon=settings.epsilon)
        show = self._make_viewer()
        max_steps = settings.max_steps if self.max_steps is None else self.max_steps
        for goal in goals:
            self._play_goal(rollout, goal, max_steps, show)
        for program in programs:
            self._play_goal(ProgramRollout(agent, env, epsilon=settings.epsilon), program, max_steps, show)
        if goals or programs:
            return
        while (asked := _ask_goal(run.config)) is not None:
            self._play_goal(rollout, asked, max_steps, show)

    def _play_goal(self, rollout: Any, goal: "NamedGoal", max_steps: int | None, show: Any) -> None:
        step = None
        for step in rollout.run(goal.target, max_steps):
            start = time.monotonic()
            show(step.frame, f"{goal.name}: step {step.number}")
            time.sleep(max(1.0 / self.fps - (time.monotonic() - start), 0.0))
        assert step is not None
        outcome = "reached" if step.achieved else "not reached, episode over" if step.done else "not reached"
        print(f"{goal.name}: {outcome} after {step.number} steps")

    def _make_viewer(self) -> Any:
        if not self._in_window():
            from leo_cli.terminal import Screen

            screen = Screen()
            screen.clear()
            return screen.show if screen.is_terminal else lambda frame, caption: None
        from leo_envs.common.window import Window

        window = Window("leo play", max(round(self.fps), 1))
        return lambda frame, caption: window.show(frame)


def _ask_goal(config: "RunConfig") -> "NamedGoal | None":
    """Ask the user for a goal; return it, or None to quit."""
    kind = "a name, part of a name, or id" if config.points is None else "coordinates such as " + _example(config)
    while True:
        try:
            text = input(_PROMPT.format(kind)).strip()
        except EOFError:
            print()
            return None
        if text == "q":
            return None
        if text == "l":
            print(_format_names(config.goals))
        elif (goal := _resolve(config, text)) is not None:
            return goal


def _resolve(config: "RunConfig", text: str) -> "NamedGoal | None":
    """Return the goal that the user means, a random one for an empty text; print what else to type if there is none."""
    from leo_cli.suggestions import unknown

    if not text:
        return config.find_goal(config.goals[random.choice(config.eval_goal_ids)])
    if config.points is None:
        found = match_goals(config.goals, text)
        if len(found) == 1:
            return config.find_goal(config.goals[found[0]])
        print(_format_names([config.goals[goal] for goal in found]) if found else unknown("a goal", text, config.goals))
        return None
    try:
        return config.find_goal(text)
    except ValueError as error:
        print(error)
        return None


def _example(config: "RunConfig") -> str:
    return config.goals[0].partition("/")[2].partition(" ")[0]


def match_goals(names: Sequence[str], text: str) -> list[int]:
    """
    Find the goals that match what the user typed.

    :param names: names of all goals
    :param text: a goal's name or id, or a part of names
    :return: ids of the matching goals

    Example::

        >>> match_goals(("tools/bow", "tools/sword", "mobs/cow"), "sword"), match_goals(("a", "b"), "1")
        ([1], [1])
    """
    if text in names:
        return [list(names).index(text)]
    if text.isdigit() and int(text) < len(names):
        return [int(text)]
    return [goal for goal, name in enumerate(names) if text.lower() in name.lower()]


def _format_names(names: Sequence[str]) -> str:
    more = f"\n... {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return "  ".join(names[:_MAX_LISTED]) + more
