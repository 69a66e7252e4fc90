"""Was this answer made up, how, and what would a right one have needed?

- `features`: what one look at an answer says about it, in numbers that mean the same for every relation.
- `calibration`: from these numbers to the chance that the answer is wrong, fitted on answers that were judged.
- `check`: the whole check of one answer, with its verdict and the evidence.
"""
