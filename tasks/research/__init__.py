"""From bars to a model: measured, resolved, searched, learnt, simulated."""
