"""Risk: whether an order may be sent; in doubt it may not."""
