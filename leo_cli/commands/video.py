"""``leo video``."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from leo_cli.commands.options import Count, Path, Programs, Run, Seed, Trust


@dataclass(frozen=True)
class Video:
    """
    Record a video of an agent reaching one or more goals, or completing programs of goals.

    Examples: `leo video runs/leodqn-GridWorld-v0 --goal cell/0,0`; `leo video runs/x --goal a --goal b --out tour.mp4`;
    `leo video runs/x --program "a then b or c avoiding d"`.
    """

    run_folder: Run
    """The run's folder."""
    goal: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="GOAL", help_behavior_hint="")] = ()
    """Goal to reach, a name or coordinates such as 1.3,0.7,0.5; repeat it for several in sequence."""
    program: Programs = ()
    out: Path = None
    """The file: .gif, .webp or .mp4 (the extra "video"); video.gif in the run's folder by default."""
    seed: Seed = None
    """Seed of the run to record."""
    episode: Annotated[int, tyro.conf.arg(metavar="SEED")] = 0
    """Seed of the episode."""
    max_steps: Count = None
    """Maximum number of steps per goal."""
    fps: float = 10.0
    """Frames per second."""
    width: int = 320
    """Width of the frames in pixels."""
    trust: Trust = False

    def run(self) -> int:
        """Record the video; return the exit code."""
        from pathlib import Path as FilePath

        from leo_cli.agent_rollout import make_rollout
        from leo_cli.models import load_agent
        from leo_cli.programs import ProgramRollout, check_programs
        from leo_cli.run_folder import RunFolder, pick_seed
        from leo_cli.video import check_video_path, record_frames, save_video

        if not self.goal and not self.program:
            raise ValueError("expected at least one --goal or --program, got none; `leo goals ENV` lists the goals")
        if self.fps <= 0 or not 16 <= self.width <= 4096:
            raise ValueError(f"expected --fps above 0 and --width from 16 to 4096, got {self.fps} and {self.width}; change it")
        run = RunFolder(self.run_folder, self.trust)
        goals = [run.config.find_goal(goal) for goal in self.goal]
        programs = check_programs(run.config, self.program)
        path = run.path / "video.gif" if self.out is None else FilePath(self.out)
        check_video_path(path)
        settings = run.config.settings.evaluation
        agent = load_agent(run, pick_seed(run, self.seed))
        max_steps = settings.max_steps if self.max_steps is None else self.max_steps
        frames = []
        for make, targets in ((make_rollout, goals), (ProgramRollout, programs)):
            if targets:
                rollout = make(agent, run.config.find_environment().make("rgb_array"), self.episode, settings.epsilon)
                frames += record_frames(rollout, targets, max_steps=max_steps, fps=self.fps, width=self.width)
        save_video(frames, path, self.fps)
        print(f"Wrote {path} ({len(frames)} frames)")
        return 0
