"""Names of the entries in observations and infos that this library reads and writes."""

MASK_KEY = "goals_achieved"
"""In every info: the mask of all goals, bool ``[G]``."""
GOAL_KEY = "goal_id"
"""In goal-conditioned observations and infos: the commanded goal's index."""
DESIRED_GOAL_KEY = "desired_goal"
"""In observations of goal environments: the commanded goal's point."""
GOAL_INPUT_KEYS = (GOAL_KEY, DESIRED_GOAL_KEY)
"""Entries of an observation that depend on the commanded goal. Networks that answer for all goals must not see them."""
ENDED_BY_GOAL_KEY = "ended_by_goal"
"""In the info of a step that is done only because the commanded goal was achieved: other goals still bootstrap."""
