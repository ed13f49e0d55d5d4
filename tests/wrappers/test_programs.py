"""Programs: the automaton accepts what the definition accepts, is minimal, and errors point at the column."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_wrappers.programs import compile_program, first_completion, goal, parse_program, repeat
from leo_wrappers.programs.expressions import MAX_DEPTH

NAMES = ("a", "b", "c", "f/1", "f/2")
ALL_MASKS = np.array(list(itertools.product([False, True], repeat=len(NAMES))))
A, B, C, F = (goal(name) for name in ("a", "b", "c", "f/*"))

conditions = st.recursive(
    st.sampled_from(["a", "b", "c", "f/1", "f/*", "*"]).map(goal),
    lambda inner: st.builds(lambda one, other, join: join(one, other), inner, inner, st.sampled_from(
        [lambda one, other: one & other, lambda one, other: one | other, lambda one, other: one - other]
    )),
    max_leaves=3,
)  # fmt: skip
programs = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.builds(
            lambda one, other, join: join(one, other),
            inner,
            inner,
            st.sampled_from(
                [lambda one, other: one >> other, lambda one, other: one | other, lambda one, other: one + other,
                 lambda one, other: one & ~other, lambda one, other: ~one & other]
            ),
        ),
        st.builds(repeat, inner, st.integers(1, 3)),
    ),
    max_leaves=5,
)  # fmt: skip
# Goals are rare enough for long traces without a completion.
masks = st.lists(st.lists(st.sampled_from([False, False, True]), min_size=5, max_size=5), max_size=12).map(
    lambda rows: np.array(rows, dtype=bool).reshape(-1, 5)
)


def run(automaton, trace):
    """Return the state after each step."""
    return list(itertools.accumulate(trace, lambda state, mask: int(automaton.step(state, mask)), initial=0))[1:]


def compiled(program):
    """Return the automaton of a program, None if it contradicts itself."""
    try:
        return compile_program(program, NAMES)
    except ValueError as error:
        assert "contradicts itself" in str(error)
        return None


def check_program(program, trace):
    automaton, completion = compiled(program), first_completion(program, trace, NAMES)
    if automaton is None:
        assert completion is None
        return
    states = run(automaton, trace)
    assert completion == next((t for t, state in enumerate(states) if state == automaton.accepted), None)
    state = states[-1] if states else 0
    if state in (automaton.violated, automaton.accepted):
        return
    # A state that is not violated can be completed, in as many steps as it says, and the definition agrees.
    rest = []
    while state != automaton.accepted:
        left = automaton.steps_left
        holding, following = next(way for way in automaton.transitions[state] if left[way[1]] == left[state] - 1)
        rest.append(np.isin(np.arange(5), [automaton.inputs[number][0] for number in holding]))
        assert automaton.step(state, rest[-1]) == following
        state = following
    assert first_completion(program, np.concatenate([trace, rest]), NAMES) == len(trace) + len(rest) - 1


def check_minimal(program):
    automaton = compiled(program)
    if automaton is None:
        return
    table = np.array([automaton.step(np.full(len(ALL_MASKS), state), ALL_MASKS) for state in range(automaton.num_states)])
    reached = {0}
    while new := set(table[list(reached)].ravel().tolist()) - reached:
        reached |= new
    assert reached | {automaton.violated} == set(range(automaton.num_states))
    blocks = (np.arange(automaton.num_states) == automaton.accepted).astype(int)
    for _ in range(automaton.num_states):
        blocks = np.unique(np.column_stack([blocks, blocks[table]]), axis=0, return_inverse=True)[1].ravel()
    assert len(set(blocks)) == automaton.num_states
    left = np.where(np.arange(automaton.num_states) == automaton.accepted, 0, 999)
    for _ in range(automaton.num_states):
        left = np.minimum(left, 1 + left[table].min(axis=1))
    assert np.array_equal(np.where(left < 999, left, -1), automaton.steps_left)
    eye = np.eye(5, dtype=bool)
    assert np.array_equal(automaton.after_goal, [automaton.step(np.full(5, s), eye) for s in range(automaton.num_states)])


def check_text(program):
    assert parse_program(str(program), NAMES) == program


CHECKS = {
    "program": lambda examples: settings(max_examples=examples, deadline=None)(given(programs, masks)(check_program)),
    "minimal": lambda examples: settings(max_examples=examples, deadline=None)(given(programs)(check_minimal)),
    "text": lambda examples: settings(max_examples=examples, deadline=None)(given(programs)(check_text)),
}


@pytest.mark.parametrize("name", CHECKS)
def test_random_programs(name):
    CHECKS[name](300)()


@pytest.mark.expensive
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", CHECKS)
def test_ten_thousand_random_programs(name):
    CHECKS[name](10_000)()


def complete(program, *states):
    """Run the definition and the automaton on states given as letters of their goals."""
    trace = np.array([[name[-1] in state for name in NAMES] for state in states])
    automaton = compile_program(program, NAMES)
    result = first_completion(program, trace, NAMES)
    final = run(automaton, trace)[-1]
    assert (result is not None) == (final == automaton.accepted)
    return "violated" if final == automaton.violated else result


def test_then_starts_in_the_next_state():
    assert complete(A >> B, "ab") is None
    assert complete(A >> B, "ab", "", "b") == 2
    assert complete(A >> A, "a", "a") == 1
    assert complete(repeat(A, 3), "a", "", "a", "ab") == 3


def test_and_is_one_state_and_plus_any_order():
    assert complete(A & B, "a", "b") is None and complete(A & B, "a", "ab") == 1
    assert complete(A + B, "b", "", "a") == 2 and complete(A + B, "ab") == 0
    assert complete((A >> B) + C, "c", "b", "a", "b") == 3


def test_not_holds_until_its_part_is_complete():
    assert complete((~A & B) >> C, "b", "a", "c") == 2
    assert complete((~A & B) >> C, "a") == "violated"
    assert complete(~A & (B >> C), "b", "a") == "violated"
    assert complete(~A & B, "ab") == "violated"
    assert complete((~A & B) | C, "a", "b", "c") == 2
    assert complete(~(A >> B) & C, "b", "a", "c") == 2 and complete(~(A >> B) & C, "a", "b") == "violated"


def test_except_is_about_one_state():
    assert complete(F - goal("f/1"), "a1", "12", "2") == 2
    assert complete((A - B) & C, "abc", "ac") == 1


def test_a_program_that_fails_keeps_the_place_it_was_in():
    # The first a counts, whatever follows: another a does not start b without c again.
    assert complete(A >> (B & ~C), "a", "c", "a", "b") == "violated"


def test_precedence_of_text():
    text = "a then b or c and f/1 avoiding f/2 except a 2 times"
    by_hand = (A >> (B | (C & goal("f/1")))) & ~(goal("f/2") - A)
    assert parse_program(text.removesuffix(" 2 times")) == by_hand
    assert parse_program("not a and b then c") == (~A & B) >> C
    assert parse_program("a and not b and c") == (A & C) & ~B
    assert parse_program("not a and not b and c") == ~(A | B) & C
    assert parse_program("not a except b and c") == ~(A - B) & C
    assert parse_program("(a then b) 2 times") == repeat(A >> B, 2)
    assert parse_program('"then" then "a b" or "say \\"x\\\\"') == goal("then") >> (goal("a b") | goal('say "x\\'))


def test_names_with_an_asterisk_are_names_first():
    assert compile_program("a*", ("a*", "ab")).inputs[0].tolist() == [0]
    assert compile_program("a*", ("a", "ab", "b")).inputs[0].tolist() == [0, 1]


def test_a_family_is_one_input():
    names = [f"cell/{number}" for number in range(500)]
    automaton = compile_program("cell/3 then cell/* except cell/3", names)
    assert [len(ids) for ids in automaton.inputs] == [1, 499] and len(automaton.nodes) == 3


def test_a_long_program():
    automaton = compile_program(repeat(A, 1_000), NAMES)
    assert automaton.num_states == 1_002 and automaton.steps_left.tolist() == [*range(1_000, -1, -1), -1]


def test_progress_and_steps_left():
    automaton = compile_program("a then b then c avoiding f/*", NAMES)
    assert automaton.steps_left.tolist() == [3, 2, 1, 0, -1]
    assert np.allclose(automaton.progress, [0, 1 / 3, 2 / 3, 1, 0])
    assert str(automaton.program) == "a then b then c avoiding f/*"


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "the end of the text"),
        ("a then", 7, "the end of the text"),
        ("a them b", 3, "write 'then'"),
        ("a then bb", 8, "nearest: ['b'"),
        ("g/*", 1, "which fits none"),
        ("(a then b", 10, 'for the "(" at column 1'),
        ("a then b)", 9, "got ')'"),
        ('a or "b', 6, "a second double quote"),
        ("a THEN b", 3, "write 'then'"),
        ("a 3 time", 5, '"times"'),
        ("a 0 times", 1, "times from 1 to"),
        ("not a", 1, "something completes"),
        ("a then not b", 8, "complete before anything happens"),
        ("a or c and not not b", 16, "expected a program after ~"),
        ("c then (a then b) and c", 8, "use + (plus)"),
        ("c and (a then b)", 7, "use + (plus)"),
        ("not a then b", 1, "complete before anything happens"),
        ("(not a) 2 times", 1, "complete before anything happens"),
        ("(" * 51, 51, "at most 50 parentheses"),
    ],
)
def test_errors_in_text_point_at_the_column(text, column, message):
    with pytest.raises(ValueError) as caught:
        parse_program(text, NAMES)
    lines = str(caught.value).split("\n")
    assert f"at column {column}," in lines[0] and message in lines[0]
    assert lines[1:] == [f"  {text}", f"  {' ' * (column - 1)}^"]


def test_errors_in_text_of_several_lines_point_at_the_column():
    with pytest.raises(ValueError, match="at column 10") as caught:
        parse_program("a then\n\t bb", NAMES)
    assert str(caught.value).split("\n")[1:] == ["  a then   bb", f"  {' ' * 9}^"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: A & ~A, "contradicts itself"),
        (lambda: B >> ((A - A) >> C), "'a except a' contradicts itself"),
        (lambda: (F & ~goal("f/*")) >> B, "contradicts itself"),
        (lambda: ~A, "complete before anything happens"),
        (lambda: ~A & ~B, "complete before anything happens"),
        (lambda: goal("d"), "nearest: ["),
        (lambda: "a then d", "at column 8"),
        (lambda: 3, "to be a Program, got 3"),
        (lambda: goal("a") >> "b", "to be a Program, got 'b'"),
        (lambda: ~A >> B, "expected a program before >>"),
        (lambda: B | ~A, "expected a program after |"),
        (lambda: ~~A, "write a to require it"),
        (lambda: A and B, "use the operators & | ~ and not"),
        (lambda: not A, "got the truth value of 'a'"),
        (lambda: A >> B if ~C else B, "got the truth value of 'not c'"),
        (lambda: goal(3), "the name of a goal"),
        (lambda: repeat(A, 0), "times"),
        (lambda: repeat(repeat(A, 1000), 3), "'a 1000 times 3 times', which may have 3,000"),
        (
            lambda: repeat(A, 50) + repeat(B, 50) >> C,
            "'a 50 times plus b 50 times', which may have 2,600, by parts of up to 50",
        ),
    ],
)
def test_bad_programs(make, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        compile_program(make(), NAMES)
    assert message in str(caught.value)


@pytest.mark.parametrize("masks", [[[True]], np.zeros((3, 4), dtype=bool), np.zeros((3, 5)), np.zeros(5, dtype=bool)])
def test_a_trace_of_other_masks(masks):
    with pytest.raises(ValueError, match=r"bool array of shape \(T, 5\)"):
        first_completion(A, masks, NAMES)


def test_too_many_nested_parts():
    program = A
    with pytest.raises(ValueError, match="at most 200 nested parts"):
        for _ in range(MAX_DEPTH):
            program = program >> B


def test_too_many_inputs():
    names = [f"g{number}" for number in range(512)]
    conditions = [goal(name) for name in names]
    while len(conditions) > 1:
        conditions = [one & other for one, other in zip(conditions[::2], conditions[1::2], strict=True)]
        if len(conditions) == 2:
            assert len(compile_program(conditions[0], names).inputs) == 256
    with pytest.raises(ValueError, match="at most 256 goals or families differently, got 512"):
        compile_program(conditions[0], names)


def test_too_many_decisions():
    pairs = [(goal(f"x{number}"), goal(f"y{number}")) for number in range(20)]
    # All first goals before all second ones: the diagram of this order is exponential.
    order = goal("x0") - goal("x0")
    for one, _ in pairs:
        order = order | (one & one)
    condition = order & (pairs[0][0] & pairs[0][1])
    for one, other in pairs[1:]:
        condition = condition | (one & other)
    with pytest.raises(ValueError, match="200,000 decisions"):
        compile_program(condition, [name + str(number) for name in "xy" for number in range(20)])


@pytest.mark.parametrize(
    ("states", "trace", "message"),
    [
        (0, np.zeros(4, dtype=bool), "masks of shape (5,)"),
        ([0], np.zeros(5, dtype=bool), "masks of shape (1, 5)"),
        (0, np.zeros(5), "got float64"),
        (7, np.zeros(5, dtype=bool), "states from 0 to 2"),
        (0.5, np.zeros(5, dtype=bool), "integers"),
    ],
)
def test_bad_steps(states, trace, message):
    with pytest.raises(ValueError) as caught:
        compile_program(A, NAMES).step(states, trace)
    assert message in str(caught.value)


def test_a_batch_of_states():
    automaton = compile_program((A >> B) + (C & ~F), NAMES)
    states = np.repeat(np.arange(automaton.num_states), len(ALL_MASKS)).reshape(-1, len(ALL_MASKS))
    batch = automaton.step(states, np.broadcast_to(ALL_MASKS, (*states.shape, 5)))
    one_by_one = [[int(automaton.step(state, mask)) for mask in ALL_MASKS] for state in range(automaton.num_states)]
    assert np.array_equal(batch, one_by_one)
