"""Keys of the observation and info entries that this library reads and writes."""

MASK_KEY = "goals_achieved"
"""In every info: the mask of achieved goals, bool ``[G]``."""
GOAL_KEY = "goal_id"
"""In goal-conditioned observations and infos: the index of the commanded goal."""
ACHIEVED_GOAL_KEY = "achieved_goal"
"""In observations of goal environments: the point that is compared with the goals."""
DESIRED_GOAL_KEY = "desired_goal"
"""In observations of goal environments: the point of the commanded goal."""
GOAL_INPUT_KEYS = (GOAL_KEY, DESIRED_GOAL_KEY)
"""Observation entries that depend on the commanded goal. Networks that output values of all goals must not see them."""
ENDED_BY_GOAL_KEY = "ended_by_goal"
"""In the info of a step that is done only because the commanded goal was achieved: other goals still bootstrap."""
