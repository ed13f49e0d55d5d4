"""Acting on programs: exact values give optimal behavior, and a trained agent completes programs."""

import importlib
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

import leo_envs
from leo_agents import LEODQN, LEOTD3
from leo_agents.programs import ProgramPlanner, ProgramPolicy, collect_goal_observations, evaluate_programs
from leo_wrappers.programs import ProgramWrapper, compile_program, goal
from tests.agents.plane_point import PlanePoint
from tests.line_env import LineGoalEnv, MultiGoalWrapper, line_goals, make_line

gym.register_envs(leo_envs)

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = tuple("abcde")
LINE = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gridworld_programs")


@pytest.mark.parametrize("size", [5, 9])
def test_exact_values_give_optimal_behavior(benchmark, size):
    env = gym.make("leo/GridWorld-v0", map="random", size=size, map_seed=3, start="random")
    grid = env.unwrapped
    grid.mdp.starts = grid.mdp.starts[:1]
    programs = benchmark.draw_programs(grid, 40, seed=size)
    agent = benchmark.ExactAgent(grid)
    results = evaluate_programs(
        agent, env, [program for program, _, _ in programs], goal_observations=grid.all_observations(), max_steps=300
    )
    assert [result.steps for result in results] == [(steps,) for _, _, steps in programs]


def test_optimum_of_programs_by_hand(benchmark):
    grid = gym.make("leo/GridWorld-v0", map=["...", "S#.", "..."]).unwrapped

    def steps(text):
        return benchmark.optimum(grid.mdp, compile_program(text, grid.goal_names), int(grid.mdp.starts[0]))

    assert steps("cell/1,2") == 4
    assert steps("cell/1,0") == 1, "a move into the wall stays"
    assert steps("cell/0,0 then cell/2,0") == 3
    assert steps("cell/0,0 plus cell/2,0 plus cell/1,2") == 6
    assert steps("cell/0,2 avoiding cell/0,1") == 5
    assert steps("cell/0,2 avoiding cell/0,1 or cell/2,1") is None


def test_a_goal_on_the_way_that_must_not_come_first_is_passed_round():
    # a - b - c on a line, and a long way from a to c past d and e.
    ring = np.array([[2, 1, 2, 1, 2], [1, 2, 1, 2, 3], [2, 1, 2, 2, 1], [1, 2, 2, 2, 1], [2, 3, 1, 1, 2]], dtype=float)
    planner = ProgramPlanner(compile_program("c avoiding b", NAMES), ring)
    first = planner.plan(0, ring[0])
    assert NAMES[first.goals[0][0]] == "d" and round(first.steps) == 3
    assert [NAMES[g] for g in first.harmful] == ["b"]
    assert NAMES[planner.plan(0, ring[3]).goals[0][0]] in ("c", "e")


def test_the_order_of_the_shortest_tour():
    planner = ProgramPlanner(compile_program("a plus c plus e", NAMES), LINE + 2 * np.eye(5))
    target = planner.plan(0, LINE[1] + 2 * np.eye(5)[1])
    assert NAMES[target.goals[0][0]] == "a" and round(target.steps) == 5


def test_either_by_what_follows():
    # b is nearer, but e follows.
    planner = ProgramPlanner(compile_program("(b or d) then e", NAMES), LINE + 2 * np.eye(5))
    assert NAMES[planner.plan(0, LINE[2] + 2 * np.eye(5)[2]).goals[0][0]] == "d"
    unknown = ProgramPlanner(compile_program("(b or d) then e", NAMES))
    assert NAMES[unknown.plan(0, [3, 1, 1, 2, 2]).goals[0][0]] == "b"


@pytest.mark.parametrize("after, is_harmful", [(2.0, False), (3.0, True), (4.0, True)])
def test_goals_are_avoided_that_leave_as_many_steps_as_there_were(after, is_harmful):
    distances = np.array([[2.0, 2.0, 9.0], [2.0, 2.0, 9.0], [9.0, after, 2.0]])
    planner = ProgramPlanner(compile_program("(a or c) then b", ("a", "b", "c")), distances)
    target = planner.plan(state=0, steps=[1.0, 5.0, 5.0])
    assert target.goals[0].tolist() == [0] and round(target.steps) == 3
    assert (2 in target.harmful.tolist()) == is_harmful


def test_many_repetitions():
    planner = ProgramPlanner(compile_program("a then b 300 times", NAMES), LINE + 2 * np.eye(5))
    assert round(planner.plan(0, LINE[2] + 2 * np.eye(5)[2]).steps) == 2 + 1 + 299 * 2


def test_goals_that_must_hold_together():
    planner = ProgramPlanner(compile_program("a and (b or c) or d", NAMES))
    together = planner.plan(0, [2, 9, 3, 99, 99])
    assert sorted(map(len, together.goals)) == [1, 2] and round(together.steps) == 3
    assert NAMES[planner.plan(0, [2, 9, 3, 2, 99]).goals[0][0]] == "d"
    # "plus" is completed one by one, although one state with both would do.
    assert len(ProgramPlanner(compile_program("a plus b", NAMES)).plan(0, [2, 9, 3, 1, 1]).goals) == 1


def test_goals_of_several_bits_in_one_state(benchmark):
    env = gym.make("leo/BitFlip-v0", n_bits=4, goals="bit", time_limit=20)
    policy_env = env.unwrapped
    agent = benchmark.ExactAgent(policy_env)
    names = policy_env.goal_names
    program = " and ".join(names[number] for number in (1, 3, 5)) + f" then {names[0]} and {names[2]}"
    result = evaluate_programs(agent, env, [program], episodes=4, seed=0, max_steps=20)[0]
    assert result.completed == 1.0 and max(result.steps) <= 6


def test_actions_that_achieve_a_goal_to_avoid_are_not_taken(benchmark):
    # Without distances between goals there is no way round, but the agent stops before the cell to avoid.
    env = gym.make("leo/GridWorld-v0", map="S..")
    result = evaluate_programs(benchmark.ExactAgent(env.unwrapped), env, ["cell/0,2 avoiding cell/0,1"], max_steps=20)[0]
    assert result.steps == () and result.violated == 0
    chained = evaluate_programs(
        None,
        env,
        ["cell/0,2 avoiding cell/0,1"],
        max_steps=20,
        make_policy=lambda automaton: benchmark.Chained(benchmark.ExactAgent(env.unwrapped), automaton),
    )
    assert chained[0].violated == 1


def test_a_trained_agent_completes_programs():
    env = make_line(horizon=200)
    model = LEODQN("MultiGoalPolicy", make_line(), learning_starts=50, train_freq=1, seed=0, policy_kwargs={"net_arch": [32]})
    model.learn(1_200)
    observations = np.arange(5, dtype=np.float32)[:, None]
    programs = ["at/4 then at/0 then at/2", goal("at/3") + goal("at/1"), "at/2 3 times"]
    for known in (observations, None):
        results = evaluate_programs(model, env, programs, seed=0, goal_observations=known)
        assert [result.steps for result in results] == [(10,), (3,), (6,)]
    # The policy is a model for Stable-Baselines3.
    wrapped = ProgramWrapper(env, programs[0])
    policy = ProgramPolicy(model, wrapped.automaton, observations)
    vectorized = make_vec_env(lambda: ProgramWrapper(make_line(horizon=200), programs[0]), n_envs=3)
    assert evaluate_policy(policy, vectorized, n_eval_episodes=3) == (1.0, 0.0)
    obs, _ = wrapped.reset()
    assert policy.act(obs["observation"], 0) == policy.predict(obs)[0]


def test_the_agent_collects_observations_of_goals(benchmark):
    env = gym.make("leo/GridWorld-v0", map=["S..#.", "...#."], max_episode_steps=7)
    grid = env.unwrapped
    agent = benchmark.ExactAgent(grid)
    observations, achieved = collect_goal_observations(agent, env, steps=200, seed=0, max_attempt=10)
    assert achieved.tolist() == grid.reachable().tolist()
    assert np.array_equal(observations[achieved], grid.all_observations()[achieved])
    assert np.array_equal(observations[~achieved], grid.all_observations()[[0, 0]])
    assert collect_goal_observations(agent, env, steps=3, seed=0)[1].sum() <= 4
    # Dictionaries stay dictionaries.
    model = LEODQN("MultiGoalPolicy", MultiGoalWrapper(LineGoalEnv(), line_goals()), seed=0, policy_kwargs={"net_arch": [8]})
    batch, achieved = collect_goal_observations(model, MultiGoalWrapper(LineGoalEnv(), line_goals()), steps=10, seed=0)
    assert model.q_values(batch).shape == (5, 5, 2) and achieved[0]


def test_continuous_actions():
    env = gym.make("leo/MountainCarContinuous-v0")
    model = LEOTD3("MultiGoalPolicy", env, seed=0, policy_kwargs={"net_arch": [16]})
    first, second = model.goal_names[0], model.goal_names[-1]
    obs, _ = env.reset(seed=0)
    policy = ProgramPolicy(model, f'"{first}" then "{second}"')
    assert policy.act(obs, 0) in env.action_space
    assert np.array_equal(policy.act(obs, 0), model.act(obs, first))
    assert np.array_equal(policy.act(obs, 1), model.act(obs, second))


def test_episodes_have_consecutive_seeds():
    seeds = []

    class NotingSeeds(gym.Wrapper):
        def reset(self, *, seed=None, options=None):
            seeds.append(seed)
            return super().reset(seed=seed, options=options)

    env = NotingSeeds(gym.make("leo/GridWorld-v0", map="S.."))
    model = LEODQN("MultiGoalPolicy", env.env, seed=0, policy_kwargs={"net_arch": [8]})
    seeds.clear()
    evaluate_programs(model, env, ["cell/0,1", "cell/0,2"], episodes=3, seed=5, max_steps=1)
    assert seeds == [5, 6, 7] * 2
    evaluate_programs(model, env, ["cell/0,1"], episodes=2, max_steps=1)
    assert seeds[6:] == [None, None]


def test_random_actions_of_epsilon():
    """An agent that always pushes against the left wall arrives at the right by random actions only."""
    env = gym.make("leo/GridWorld-v0", map="S..")
    model = LEODQN("MultiGoalPolicy", env, seed=0, policy_kwargs={"net_arch": [8]})

    class Left:
        def predict(self, observation, deterministic=True):
            return np.array(3), None  # left

    options = {"episodes": 2, "seed": 0, "max_steps": 200, "make_policy": lambda automaton: Left()}
    assert evaluate_programs(model, env, ["cell/0,2"], **options)[0].completed == 0
    results = [evaluate_programs(model, env, ["cell/0,2"], epsilon=0.8, **options)[0] for _ in range(2)]
    assert results[0].completed == 1 and results[0].steps[0] != results[0].steps[1]
    assert results[0] == results[1]


def test_a_model_of_any_goal_has_no_programs():
    model = LEOTD3("MultiGoalPolicy", PlanePoint(), seed=0, policy_kwargs={"net_arch": [8]})
    with pytest.raises(ValueError, match="expected a model with a finite goal set"):
        ProgramPolicy(model, "a")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: ProgramPolicy(model, "cell/0,9"), "at column 1"),
        (lambda model: ProgramPolicy(model.policy, "cell/0,1"), "pass the model, or PolicyAgent"),
        (lambda model: ProgramPolicy(model, compile_program("a", ("a", "b"))), "compile the program with model.goal_names"),
        (lambda model: ProgramPolicy(model, "cell/0,1", np.zeros((2, 4), dtype=np.float32)), "shape (3, 3)"),
        (lambda model: ProgramPolicy(model, "cell/0,1", avoid_steps=0.5), "avoid_steps of at least 1"),
        (lambda model: ProgramPolicy(model, "cell/0,1", max_hop=0), "max_hop above 0"),
        (lambda model: ProgramPolicy(model, "cell/0,1").act(np.zeros(4, dtype=np.float32), 3), "state from 0 to 2"),
        (lambda model: ProgramPolicy(model, "cell/0,1").predict(np.zeros(4, dtype=np.float32)), "'program_state'"),
        (lambda model: ProgramPlanner("cell/0,1"), "to be a ProgramAutomaton"),
        (lambda model: ProgramPlanner(compile_program("a", NAMES), np.full((5, 5), np.nan)), "without NaN"),
        (lambda model: collect_goal_observations(model, None, 3), "expected an environment"),
        (lambda model: collect_goal_observations(model, gym.make("leo/GridWorld-v0"), 0), "steps of at least 1"),
        (lambda model: evaluate_programs(model, None, ["cell/0,1"]), "expected an environment"),
        (lambda model: evaluate_programs(model, gym.make("leo/GridWorld-v0"), [], epsilon=1.0), "epsilon in [0, 1)"),
        (lambda model: evaluate_programs(model, model.env, "cell/0,1"), "expected an environment"),
        (lambda model: evaluate_programs(model, gym.make("leo/GridWorld-v0"), "cell/0,1"), "expected a sequence of programs"),
        (lambda model: evaluate_programs(model, gym.make("leo/GridWorld-v0"), [], episodes=0), "episodes of at least 1"),
        (lambda model: evaluate_programs(model, gym.make("leo/GridWorld-v0"), [], make_policy=3), "to be a function"),
    ],
)
def test_bad_arguments(make, message):
    model = LEODQN("MultiGoalPolicy", gym.make("leo/GridWorld-v0", map="S.."), seed=0, policy_kwargs={"net_arch": [8]})
    with pytest.raises((TypeError, ValueError)) as caught:
        make(model)
    assert message in str(caught.value)
