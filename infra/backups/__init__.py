"""Backups: made, described, checked and restored."""
