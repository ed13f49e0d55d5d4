"""Recording and encoding of videos."""

import io
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from leo_cli.agent_rollout import AgentRollout
from leo_cli.named_goals import NamedGoal
from leo_cli.outputs import check_output
from leo_cli.suggestions import nearest

Frame = npt.NDArray[np.uint8]

SUFFIXES = (".gif", ".webp", ".mp4")
_PAUSE_SECONDS = 0.7
_CAPTION_HEIGHT = 30
_ACHIEVED_COLOR, _TEXT_COLOR, _BACKGROUND = (74, 222, 128), (228, 228, 231), (24, 24, 27)


def record_frames(
    rollout: AgentRollout, goals: Sequence[NamedGoal], *, max_steps: int | None = None, fps: float = 10.0, width: int = 320
) -> list[Frame]:
    """
    Record an agent that is commanded one goal after another, with a pause after each.

    :param rollout: rollout in an environment with render mode "rgb_array"
    :param goals: the goals
    :param max_steps: maximum number of steps per goal
    :param fps: frames per second, for the length of the pause
    :param width: width of the frames in pixels
    :return: RGB frames with the goal and the number of steps as caption
    """
    frames: list[Frame] = []
    for goal in goals:
        for step in rollout.run(goal.target, max_steps):
            caption = f"{goal.name}: {'reached in ' if step.achieved else ''}{step.number} step{'s' * (step.number != 1)}"
            frames.append(_captioned(_resized(step.frame, width), caption, step.achieved))
        frames += frames[-1:] * max(int(_PAUSE_SECONDS * fps), 1)
    return frames


def save_video(frames: Sequence[Frame], path: Path, fps: float = 10.0) -> None:
    """
    Write a video.

    :param frames: RGB frames of equal size
    :param path: file to write; the suffix selects the format
    :param fps: frames per second
    """
    check_video_path(path)
    if path.suffix == ".mp4":
        _save_mp4(frames, path, fps)
    else:
        path.write_bytes(encode_video(frames, path.suffix[1:], fps))


def check_video_path(path: Path) -> None:
    """
    Check before recording that a video can be written.

    :param path: file to write
    :raises ValueError: for an unknown suffix
    """
    if path.suffix not in SUFFIXES:
        near = nearest(path.suffix, SUFFIXES) or SUFFIXES
        raise ValueError(f"expected a file ending in {', '.join(SUFFIXES)}, got {path.name!r}; use {near[0]}")
    if path.suffix == ".mp4":
        _ffmpeg()
    check_output(path)


def encode_video(frames: Iterable[Frame], kind: str, fps: float) -> bytes:
    """
    Encode frames as an animated image.

    :param frames: RGB frames of equal size
    :param kind: "gif" or "webp"
    :param fps: frames per second
    :return: content of the file
    """
    first, *others = (Image.fromarray(frame) for frame in frames)
    target = io.BytesIO()
    options = {"quality": 70, "method": 3} if kind == "webp" else {"optimize": True}
    first.save(target, kind, save_all=True, append_images=others, duration=round(1000 / fps), loop=0, **options)
    return target.getvalue()


def _save_mp4(frames: Sequence[Frame], path: Path, fps: float) -> None:
    height, width = (side - side % 2 for side in frames[0].shape[:2])  # the codec needs even sizes
    pixels = b"".join(frame[:height, :width].tobytes() for frame in frames)
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -".split()
    target = "-an -vcodec libx264 -pix_fmt yuv420p -movflags +faststart".split()
    command = [_ffmpeg(), "-y", "-loglevel", "error", *source, *target, str(path)]
    done = subprocess.run(command, input=pixels, capture_output=True)
    if done.returncode != 0:
        raise OSError(f"expected ffmpeg to write {path}, got: {done.stderr.decode(errors='replace').strip()}; write a .gif")


def _ffmpeg() -> str:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError as error:
        raise ImportError('mp4 needs imageio-ffmpeg; install it with: pip install "leo-rl[video]", or write a .gif') from error
    return str(get_ffmpeg_exe())


def _resized(frame: Frame, width: int) -> Frame:
    height = max(round(width * frame.shape[0] / frame.shape[1]), 1)
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))


def _captioned(frame: Frame, text: str, achieved: bool) -> Frame:
    image = Image.new("RGB", (frame.shape[1], frame.shape[0] + _CAPTION_HEIGHT), _BACKGROUND)
    image.paste(Image.fromarray(frame))
    draw = ImageDraw.Draw(image)
    size = 16
    while size > 8 and draw.textlength(text, font=ImageFont.load_default(size)) > image.width - 12:
        size -= 1
    position, color = (8, frame.shape[0] + _CAPTION_HEIGHT // 2), _ACHIEVED_COLOR if achieved else _TEXT_COLOR
    draw.text(position, text, fill=color, font=ImageFont.load_default(size), anchor="lm")
    return np.asarray(image)
