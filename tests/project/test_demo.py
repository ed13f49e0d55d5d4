import subprocess
import sys

from PIL import Image

from tests.project.test_packaging import ROOT


def test_demo_writes_all_files(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--steps", "1500", "--folder", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "cell" in result.stdout and "171" in result.stdout
    names = {"run.yml", "seed-0", "success_map.png", "learning_curve.png", "value_map.png", "tour.gif"}
    assert names <= {path.name for path in tmp_path.iterdir()} and (tmp_path / "seed-0" / "goals.csv").is_file()
    assert Image.open(tmp_path / "tour.gif").n_frames > 1
