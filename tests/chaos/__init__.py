"""Long proofs: each goes through seeds, one after the other, for as long as it is given.

`make chaos CHAOS=3600` shares an hour among them and goes on where the last one stopped; `make
test` runs each on one seed. A seed that fails is named, and comes first the next time:

    python -m pytest tests/chaos -k store --chaos 60 --seeds 100:200
"""
