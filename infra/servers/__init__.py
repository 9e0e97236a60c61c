"""Embedded servers on loopback: each module has `start(home)`, `find(home)`, `stop(home)`."""
