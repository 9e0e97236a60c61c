"""From the newest bar to a published signal."""
