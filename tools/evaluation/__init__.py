"""Evaluation of the embedded model pack with the product's own code: one file per table."""
