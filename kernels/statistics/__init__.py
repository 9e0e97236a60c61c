"""Statistics of selection and of probabilities: what a result is worth after all that was tried.

`sharpe` (PSR, DSR, MinTRL), `overfitting` (PBO), `snooping` (SPA), `permutation` (circular shifts),
`bootstrap` (stationary blocks, intervals), `calibration` (CORP), `coverage` (risk by coverage);
Wilson's interval, Brier score and skill are in `kernels.evaluation`. Arrays in, small records out,
on the host: NumPy and SciPy only. `docs/evaluation.md` has the definitions.

Too few rows, NaN, infinities and constant input raise ValueError, which says how much is missing.
"""
