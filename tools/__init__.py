"""Development tools: drawn training portraits, training and evaluation of the embedded models."""
