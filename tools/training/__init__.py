"""Training of the embedded pack, one module per model; `tools/train_pack.py` runs them by name."""
