"""Strategies and models whose figures are on record: what moves must be meant.

`python -m tests.regression` compares all and prints what moved; with ``--update`` it puts what is
now on record, to be read in review before it is committed.
"""
