"""Methods that need no language model: what a study's tuned models have to beat.

- `kinds`: the registry, kind of a method in params.yaml → its class
- `majority`, `linear`, `lead`: one kind each
- `features`: words and characters of texts as TF-IDF, for `linear`
- `examples`: the rows of a run, and what a kind is made of
- `running`: a run trained, evaluated and timed
"""
