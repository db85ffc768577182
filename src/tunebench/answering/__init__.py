"""How a model answers: the likeliest label, or generated text.

- `scoring`: the log-likelihood of every label
- `generation`: text in batches
- `prefix_cache`: keys and values of the shared prefix
- `resuming`: batches that a killed run has answered already
- `merging`: an adapter merged into plain weights
"""
