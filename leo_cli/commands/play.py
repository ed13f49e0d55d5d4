"""``leo play``."""

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from leo_cli.commands.options import Assignments, Count

if TYPE_CHECKING:
    from leo_cli.run_folder import RunFolder

_SHOWN = 40
_PROMPT = "goal (a name, a part of one, a number; Enter for any; l lists; q leaves): "


@dataclass(frozen=True)
class Play:
    """
    Send an agent to goals and watch it go; or, with an environment instead of a run, play yourself by keyboard.

    Examples: `leo play runs/leodqn-GridWorld-v0`; `leo play CraftaxClassic`; `leo play runs/x --goal cell/0,0`.
    """

    what: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_OR_ENV", help_behavior_hint="")]
    """A run's folder, or an environment."""
    goal: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = ()
    """Go here instead of asking; repeat it for a tour."""
    view: Literal["auto", "window", "terminal"] = "auto"
    """Where to show it; auto takes a window where there is a display."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="SEED", help_behavior_hint="(default: the first)")] = None
    """Which of the run's trainings to play; by keyboard, seeds the environment."""
    max_steps: Count = None
    """The most steps towards each goal."""
    fps: float = 8.0
    """Steps a second."""
    env_set: Assignments = ()
    """Arguments of the environment, when it is one."""

    def run(self) -> int:
        """
        :return: the exit code
        """
        from leo_cli.environments import find_environment
        from leo_cli.overrides import parse_assignments
        from leo_cli.run_folder import RunFolder

        if self.fps <= 0:
            raise ValueError(f"expected --fps above 0, got {self.fps}; 8 is usual")
        if os.path.isdir(self.what) or self.what.startswith(("runs/", "./", "../", os.sep)):
            self._watch(RunFolder(self.what))
            return 0
        if self.goal:
            raise ValueError(f"expected --goal beside a run's folder, got it beside {self.what!r}; by keyboard you choose")
        from leo_cli.keyboard import play_in_terminal, play_in_window

        environment = find_environment(self.what, parse_assignments(self.env_set, "--env-set"))
        if self._in_window():
            play_in_window(environment.make("rgb_array"), self.seed)
        else:
            play_in_terminal(environment.make(environment.text_mode), self.seed)
        return 0

    def _in_window(self) -> bool:
        has_display = os.name == "nt" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
        return self.view == "window" or (self.view == "auto" and has_display)

    def _watch(self, run: "RunFolder") -> None:
        from leo_cli.agent_rollout import AgentRollout
        from leo_cli.run_folder import load_agent, pick_seed
        from leo_cli.suggestions import goal_named

        goals = [goal_named(run.config.goals, goal) for goal in self.goal]
        agent = load_agent(run, pick_seed(run, self.seed))
        environment = run.config.make_environment()
        mode = "rgb_array" if self._in_window() else environment.text_mode
        env = environment.make(mode)
        judged = run.config.settings.evaluation
        walk = AgentRollout(agent, env, epsilon=judged.random_actions)
        show = self._shower(env)
        steps = judged.max_steps if self.max_steps is None else self.max_steps
        for goal in goals:
            self._go(walk, goal, steps, show)
        if goals:
            return
        while (goal_id := _asked(run.config.goals, run.config.judged)) is not None:
            self._go(walk, run.config.goals[goal_id], steps, show)

    def _go(self, walk: Any, goal: str, max_steps: int | None, show: Any) -> None:
        step = None
        for step in walk.run(goal, max_steps):
            began = time.monotonic()
            show(step.frame, f"{goal}: step {step.number}")
            time.sleep(max(1.0 / self.fps - (time.monotonic() - began), 0.0))
        assert step is not None
        end = "reached" if step.achieved else "the episode ended before" if step.done else "not reached"
        print(f"{goal}: {end} after {step.number} steps")

    def _shower(self, env: Any) -> Any:
        if not self._in_window():
            from leo_cli.terminal import Screen

            screen = Screen()
            screen.clear()
            return screen.show if screen.is_terminal else lambda picture, caption: None
        from leo_envs.common.window import Window

        window = Window("leo play", max(round(self.fps), 1))
        return lambda picture, caption: window.show(picture)


def _asked(names: Sequence[str], judged: Sequence[int]) -> int | None:
    """The goal that the user wants; None to leave."""
    while True:
        try:
            text = input(_PROMPT).strip()
        except EOFError:
            print()
            return None
        if text == "q":
            return None
        if text == "l":
            print(_some(names))
        elif not text:
            return random.choice(list(judged))
        else:
            found = matching_goals(names, text)
            if len(found) == 1:
                return found[0]
            print(_some([names[goal] for goal in found]) if found else _nothing(names, text))


def matching_goals(names: Sequence[str], text: str) -> list[int]:
    """
    :param names: all goals
    :param text: a name, a part of one, or a number
    :return: which goals may be meant: one where it is clear

    Example::

        >>> matching_goals(("tools/bow", "tools/sword", "mobs/cow"), "sword"), matching_goals(("a", "b"), "1")
        ([1], [1])
    """
    if text in names:
        return [list(names).index(text)]
    if text.isdigit() and int(text) < len(names):
        return [int(text)]
    return [goal for goal, name in enumerate(names) if text.lower() in name.lower()]


def _some(names: Sequence[str]) -> str:
    more = f"\n... {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "  ".join(names[:_SHOWN]) + more


def _nothing(names: Sequence[str], text: str) -> str:
    from leo_cli.suggestions import unknown

    return str(unknown("a goal", text, names))
