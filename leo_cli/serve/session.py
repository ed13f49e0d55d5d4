"""What the page shows and commands: the agents of one or more runs, their chain of goals, and the clock."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from leo_agents.evaluation.goal_maps import lattice_of
from leo_cli.goal_positions import goal_coordinates
from leo_cli.keyboard import key_bindings
from leo_cli.named_goals import NamedGoal
from leo_cli.run_config import RunConfig
from leo_cli.serve.player import Player
from leo_cli.value_maps import CellEnv

MAX_FPS = 60.0
_MAX_CHAIN = 100
_MAX_SHOWN = 120


class Session:
    """
    Agents side by side that are sent along the same chain of goals. Every command and every tick changes all of them.

    :param config: the configuration of a run; all runs have the same goals
    :param players: the agents
    :param fps: steps per second
    """

    def __init__(self, config: RunConfig, players: Sequence[Player], fps: float) -> None:
        self.config, self.players, self.fps = config, list(players), fps
        self.chain = [players[0].goal]
        self.is_playing = True
        self._actions = _actions(players[0].env)
        self._commands: dict[str, Callable[[Any], None]] = {
            "go": self._go,
            "append": self._append,
            "play": self._play,
            "step": self._step,
            "reset": self._reset,
            "fps": self._set_fps,
            "act": self._act,
        }

    @property
    def title(self) -> str:
        """Title of the page."""
        return f"{' and '.join(player.label for player in self.players)} on {self.config.environment.rpartition(':')[2]}"

    def handle(self, message: str | bytes) -> None:
        """
        Carry out a command of the page.

        :param message: JSON, an object with one entry: the command and its argument
        :raises ValueError: for anything else; nothing was changed
        """
        name, argument = _parsed(message)
        if name not in self._commands:
            raise ValueError(f"expected one of the commands {', '.join(self._commands)}, got {_short(name)}; reload the page")
        self._commands[name](argument)

    def tick(self) -> bool:
        """Let every agent take a step, if time is not paused; return whether anything has changed."""
        return self.is_playing and self._advance()

    def description(self) -> dict[str, Any]:
        """Describe what does not change, as JSON."""
        config, first = self.config, self.players[0]
        return {
            "kind": "hello",
            "title": self.title,
            "labels": [player.label for player in self.players],
            "notes": [player.note for player in self.players],
            "goals": config.goals,
            "unreachable": sorted(set(range(len(config.goals))) - set(config.eval_goal_ids)),
            "map": _map(first, config),
            "actions": self._actions,
        }

    def state(self) -> dict[str, Any]:
        """Describe everything that changes, as JSON."""
        return {
            "kind": "state",
            "playing": self.is_playing,
            "fps": self.fps,
            "chain": [goal.name for goal in self.chain],
            "players": [player.state() for player in self.players],
        }

    def _go(self, goal: Any) -> None:
        self.chain, self.is_playing = [self._find_goal(goal)], True
        for player in self.players:
            player.start(self.chain[0])

    def _append(self, goal: Any) -> None:
        if len(self.chain) >= _MAX_CHAIN:
            raise ValueError(f"expected a chain of at most {_MAX_CHAIN} goals, got one more; start another with a single goal")
        self.chain.append(self._find_goal(goal))

    def _play(self, is_playing: Any) -> None:
        if not isinstance(is_playing, bool):
            raise ValueError(f"expected true or false, got {_short(is_playing)}; use the button")
        self.is_playing = is_playing

    def _step(self, _: Any) -> None:
        self.is_playing = False
        self._advance()

    def _reset(self, _: Any) -> None:
        for player in self.players:
            player.reset()

    def _set_fps(self, fps: Any) -> None:
        if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0.0 < fps <= MAX_FPS:
            raise ValueError(
                f"expected a speed above 0 and at most {MAX_FPS:.0f} steps per second, got {_short(fps)}; move the slider"
            )
        self.fps = float(fps)

    def _act(self, action: Any) -> None:
        actions = {known for _, _, known in self._actions}
        if isinstance(action, bool) or not isinstance(action, int) or action not in actions:
            raise ValueError(f"expected one of {len(actions)} actions, got {_short(action)}; use the keys on the page")
        self.is_playing = False
        for player in self.players:
            player.take(action)

    def _advance(self) -> bool:
        return any([player.advance(self.chain) for player in self.players])  # a list: all of them take the step

    def _find_goal(self, goal: Any) -> NamedGoal:
        """Resolve a goal: an id, a text as on the command line, or a point if any point is a goal."""
        if isinstance(goal, list) and self.config.points is not None:
            return self.config.find_goal(",".join(_short(coordinate) for coordinate in goal))
        if isinstance(goal, bool) or not isinstance(goal, int | str) or len(str(goal)) > _MAX_SHOWN:
            raise ValueError(f"expected a goal's name or id, got {_short(goal)}; choose one of the list")
        if isinstance(goal, str):
            return self.config.find_goal(goal)
        if not 0 <= goal < len(self.config.goals):
            raise ValueError(
                f"expected a goal id from 0 to {len(self.config.goals) - 1}, got {_short(goal)}; choose one of the list"
            )
        return self.config.find_goal(self.config.goals[goal])


def _parsed(message: str | bytes) -> tuple[str, Any]:
    """Return the command and its argument."""
    try:
        content = json.loads(message)
        ((name, argument),) = content.items()
    except (ValueError, AttributeError, RecursionError):
        raise ValueError(f"expected a JSON object with one command, got {_short(message)}; reload the page") from None
    return name, argument


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, int | float) else repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."


def _map(player: Player, config: RunConfig) -> dict[str, Any] | None:
    """Describe where the goals are, in layers if they have heights; None if they have no positions."""
    located = goal_coordinates(player.env, player.points)
    if located is None:
        return None
    lattice = lattice_of(np.unique(np.round(located.positions, 9), axis=0))
    return {
        "points": np.round(located.positions, 6).tolist(),
        "heights": None if located.heights is None else np.round(located.heights, 6).tolist(),
        "layers": [[title, goals.tolist()] for title, goals in located.layers()],
        "down": located.axes[1] == "row",
        # Width and height of the cells, if the goals are cells.
        "cell": None if lattice is None else lattice.step.tolist(),
        # Frames of grid worlds show the same cells, and can be clicked too; those of others also show outer walls.
        "on_frame": isinstance(player.env.unwrapped, CellEnv),
        "any_point": config.points is not None,
    }


def _actions(env: Any) -> list[list[Any]]:
    """Return key, name and number of each action; empty if they are not discrete."""
    try:
        keys = key_bindings(env)
    except ValueError:
        return []
    names = env.get_wrapper_attr("action_names") if env.has_wrapper_attr("action_names") else None
    return [[key, str(names[action]) if names else f"action {action}", action] for key, action in keys.items()]
