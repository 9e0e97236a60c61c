"""Learners: each says, from what is known of a bar at its close, whether its trade will win."""
