"""The gate: what was tried, what stays locked, and whether a model may become champion."""
