"""One module per model of the embedded pack; `tools/train_pack.py` runs them by name."""
