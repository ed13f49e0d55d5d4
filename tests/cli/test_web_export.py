"""``leo export --web``: agent and grid world in the browser equal those in Python."""

import json
import re

import gymnasium as gym
import numpy as np
import pytest

import leo_envs  # noqa: F401
from leo_agents import LEODQN, LEOPQN
from leo_cli.run_folder import RunFolder
from leo_cli.serve.page import local_page
from leo_cli.serve.web_export import MAX_WEIGHTS, export_agent, network_layers
from leo_wrappers.sb3 import GymVecEnv
from tests.cli import chromium
from tests.cli.chromium import Page
from tests.project.test_packaging import ROOT

needs_browser = pytest.mark.skipif(chromium.FOUND is None, reason="no chromium")
MAP = dict(map=["S..#", ".#..", "..S."], observation="row_column")
NETWORKS = {
    "dense": (LEODQN, {"net_arch": [16, 12]}),
    "dense with a projection, tanh": (LEODQN, {"net_arch": [16], "head_kwargs": {"width": 5}, "activation_fn": "tanh"}),
    "factored": (LEODQN, {"net_arch": [16], "head": "factored", "head_kwargs": {"rank": 7}, "layer_norm": False}),
    "no hidden layer, no sigmoid": (LEODQN, {"net_arch": [], "squash": False}),
    "batch renormalization": (LEOPQN, {"net_arch": [16], "input_norm": True}),
}


def make_policy(kind: str):
    """Create a policy whose parameters and statistics are random."""
    import torch as th

    algorithm, arguments = NETWORKS[kind]
    if arguments.get("activation_fn") == "tanh":
        arguments = {**arguments, "activation_fn": th.nn.Tanh}
    loss = "bce" if arguments.get("squash", True) else "squared"
    env = GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=2, autoreset_mode="SameStep", **MAP))
    policy = algorithm("MultiGoalPolicy", env, loss=loss, policy_kwargs=arguments, seed=0).policy
    generator = th.Generator().manual_seed(1)
    with th.no_grad():
        for name, value in policy.q_net.state_dict().items():
            if value.is_floating_point():
                noise = th.rand(value.shape, generator=generator)
                value.copy_(noise + 0.5 if "var" in name else noise - 0.4)
    return policy


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """An empty page with the scripts of the agent."""
    from leo_cli.serve.page import _FOLDER

    scripts = "".join((_FOLDER / name).read_text() for name in ("network.js", "grid_world.js"))
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(f"<!doctype html><title>test</title><script>{scripts}</script>")
    with Page(path) as opened:
        yield opened


@needs_browser
@pytest.mark.parametrize("kind", NETWORKS)
def test_forward_pass_equals_that_of_pytorch(kind, page):
    policy = make_policy(kind)
    inputs = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    code = f"(() => {{ const network = new Network({json.dumps(network_layers(policy))});"
    code += f"return {json.dumps(inputs.tolist())}.map((row) => [...network.forward(row)]); }})()"
    outputs = np.array(page.evaluate(code)).reshape(20, 4, -1).transpose(0, 2, 1)
    expected = policy.q_values(inputs)
    assert expected.std() > 0.01 and np.abs(outputs - expected).max() < 1e-5


@needs_browser
@pytest.mark.parametrize("observation", ["row_column", "coordinates", "one_hot"])
def test_grid_world_equals_ours(observation, page):
    env = gym.make("leo/GridWorld-v0", **{**MAP, "observation": observation}).unwrapped
    code = f"(() => {{ const env = new GridWorld({json.dumps(MAP['map'])}, {env.mdp.starts.tolist()}, '{observation}');"
    code += "const states = env.cells.map((_, state) => state), starts = new Set();"
    code += "for (let count = 0; count < 200; count++) starts.add(env.reset());"
    code += "return [states.map((state) => MOVES.map((_, action) => env.next(state, action))),"
    code += "states.map((state) => env.observe(state)), [...starts].sort()]; })()"
    moves, observations, starts = page.evaluate(code)
    states = np.arange(env.mdp.num_states)
    assert np.array_equal(moves, env.mdp.next_states(states[:, None], np.arange(4)))
    assert np.allclose(observations, env.all_observations()) and starts == env.mdp.starts.tolist()


@needs_browser
def test_exported_agent_acts_as_in_python(run, tmp_path, leo):
    code, output, _ = leo("export", run, "--web", tmp_path / "site")
    path = tmp_path / "site" / "index.html"
    assert code == 0 and str(path) in output
    assert not any(outside in path.read_text() for outside in ("http://", "https://", "@import", "url("))
    model = export_agent(RunFolder(run), RunFolder(run).seeds[0])
    from leo_cli.models import load_agent

    agent, env = load_agent(RunFolder(run), RunFolder(run).seeds[0]), gym.make("leo/GridWorld-v0", map="maze", size=5)
    session = f"const session = new LocalSession({json.dumps({**model, 'epsilon': 0})}, () => null); session.start([9]);"
    with Page(path) as page:
        for state, observation in enumerate(env.unwrapped.all_observations()):
            result = "[session.distances(), session.action()]"
            distances, action = page.evaluate(f"(() => {{ {session} session.state = {state}; return {result}; }})()")
            assert np.allclose(distances, agent.expected_steps(observation)[0], atol=1e-2)
            assert action == agent.act(observation, 9)
        page.wait("document.querySelectorAll('#goals li').length === 17")
        page.evaluate("document.querySelector('#play').click()")
        page.click("#goals li:nth-child(4) .go")
        page.wait("document.querySelector('.outcome').textContent.includes('" + model["description"]["goals"][3] + "')")
        page.press("k")
        page.press("w")
        page.wait("document.querySelector('#play').textContent === 'Play'")
        assert page.problems == [] and all(url.startswith(("file:", "data:")) for url in page.requests)


def test_agents_and_environments_that_cannot_be_exported(run, baseline, leo, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert "choose another --web" in leo("export", run, "--web", tmp_path / "file")[2]
    code, _, message = leo("export", baseline, "--web", tmp_path)
    assert code == 2 and "expected an agent of leodqn or leopqn" in message
    monkeypatch.setattr("leo_cli.serve.web_export.MAX_WEIGHTS", 10)
    code, _, message = leo("export", run, "--web", tmp_path)
    assert MAX_WEIGHTS == 2_000_000 and code == 2 and "at most 10 weights" in message
    monkeypatch.setattr("leo_cli.serve.web_export.GridWorldEnv", type("Other", (), {}))
    code, _, message = leo("export", run, "--web", tmp_path)
    assert code == 2 and "expected a run in a grid world" in message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_front_page_of_the_documentation_has_the_current_scripts():
    html = (ROOT / "docs" / "_static" / "agent" / "index.html").read_text()
    (model,) = re.findall(r"new LocalSession\((\{.*\}), handler\)", html)
    content = json.loads(model)
    assert local_page(content["description"]["title"], content).html == html, "export it again, as docs/browser.md says"
    assert len(html) < 300_000
