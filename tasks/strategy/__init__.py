"""Strategies: what makes a signal of a prediction."""
