"""The command `sep`."""
