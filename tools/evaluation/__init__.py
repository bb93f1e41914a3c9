"""Measuring the embedded pack, through the product's own code: one file per table."""
