"""Moving pictures."""

import io
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from leo_cli.agent_rollout import Walk
from leo_cli.outputs import check_output
from leo_cli.suggestions import nearest

Frame = npt.NDArray[np.uint8]

ENDINGS = (".gif", ".webp", ".mp4")
_PAUSE_SECONDS = 0.7
_CAPTION = 30


def film(
    walk: Walk,
    goals: Sequence[str],
    *,
    max_steps: int | None = None,
    fps: float = 10.0,
    width: int = 320,
    captions: bool = True,
) -> list[Frame]:
    """
    Sends an agent to one goal after the other and keeps every picture.

    :param walk: the agent in its environment, which draws RGB
    :param goals: where to
    :param max_steps: the most steps for each
    :param fps: pictures a second, which says how many make a pause at each goal
    :param width: of the pictures
    :return: the pictures, the goal and the number of steps below
    """
    frames: list[Frame] = []
    for goal in goals:
        for step in walk.send(goal, max_steps):
            said = f"{goal}: {'reached in ' if step.achieved else ''}{step.number} step{'s' * (step.number != 1)}"
            frames.append(_captioned(_resized(step.picture, width), said, step.achieved))
        frames += frames[-1:] * max(int(_PAUSE_SECONDS * fps), 1)
    return frames


def save_film(frames: Sequence[Frame], path: Path, fps: float = 10.0) -> None:
    """
    :param frames: RGB pictures of one size
    :param path: the file to write; its ending says the format
    :param fps: pictures a second
    """
    check_ending(path)
    if path.suffix == ".mp4":
        _save_mp4(frames, path, fps)
    else:
        path.write_bytes(film_bytes(frames, path.suffix[1:], fps))


def check_ending(path: Path) -> None:
    """
    Refuses a file that cannot be written, before anything is filmed.

    :param path: the file
    """
    if path.suffix not in ENDINGS:
        near = nearest(path.suffix, ENDINGS) or ENDINGS
        raise ValueError(f"expected a file ending in {', '.join(ENDINGS)}, got {path.name!r}; use {near[0]}")
    if path.suffix == ".mp4":
        _ffmpeg()
    check_output(path)


def film_bytes(frames: Iterable[Frame], kind: str, fps: float) -> bytes:
    """
    :param frames: RGB pictures of one size
    :param kind: "gif" or "webp"
    :param fps: pictures a second
    :return: the file
    """
    first, *others = (Image.fromarray(frame) for frame in frames)
    target = io.BytesIO()
    options = {"quality": 70, "method": 3} if kind == "webp" else {"optimize": True}
    first.save(target, kind, save_all=True, append_images=others, duration=round(1000 / fps), loop=0, **options)
    return target.getvalue()


def _save_mp4(frames: Sequence[Frame], path: Path, fps: float) -> None:
    height, width = (side - side % 2 for side in frames[0].shape[:2])  # the codec wants even sides
    pixels = b"".join(frame[:height, :width].tobytes() for frame in frames)
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -".split()
    target = "-an -vcodec libx264 -pix_fmt yuv420p -movflags +faststart".split()
    command = [_ffmpeg(), "-y", "-loglevel", "error", *source, *target, str(path)]
    done = subprocess.run(command, input=pixels, capture_output=True)
    if done.returncode != 0:
        raise OSError(f"expected ffmpeg to write {path}, got: {done.stderr.decode(errors='replace').strip()}; try a .gif")


def _ffmpeg() -> str:
    """Where the program lies."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError as error:
        raise ImportError('mp4 needs imageio-ffmpeg; install it with: pip install "leo-rl[video]", or write a .gif') from error
    return str(get_ffmpeg_exe())


def _resized(picture: Frame, width: int) -> Frame:
    height = max(round(width * picture.shape[0] / picture.shape[1]), 1)
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _captioned(picture: Frame, text: str, achieved: bool) -> Frame:
    image = Image.new("RGB", (picture.shape[1], picture.shape[0] + _CAPTION), (24, 24, 27))
    image.paste(Image.fromarray(picture))
    draw = ImageDraw.Draw(image)
    size = 16
    while size > 8 and draw.textlength(text, font=ImageFont.load_default(size)) > image.width - 12:
        size -= 1
    place = (8, picture.shape[0] + _CAPTION // 2)
    draw.text(
        place, text, fill=(74, 222, 128) if achieved else (228, 228, 231), font=ImageFont.load_default(size), anchor="lm"
    )
    return np.asarray(image)
