"""How a model answers: the likeliest label, or text that it writes.

- `scoring`: the log-likelihood of every label
- `generation`: text in batches
- `prefix_cache`: keys and values of the tokens that all prompts share
- `merging`: an adapter merged into plain weights
"""
