"""What a run will take, before it starts: stages, tokens, bytes, hours, dollars.

No torch is imported but by a probe; the numbers come from shapes, and from what earlier runs took.

- `graph`: the stages of dvc.yaml, filled in
- `state`, `staleness`, `digests`, `check_files`: which of them `dvc repro` would run
- `rows`, `tokens`, `work`: how much each stage has to do
- `device`: what it runs on
- `prediction`, `history`: one stage's memory and time, corrected by earlier runs
- `probe`: two real steps, in a process of their own
- `remedies`: the smallest change with which a stage fits
- `downloads`: what is neither local nor in the cache
- `plan`, `printing`: all together, and as text or JSON; `report` is what the command prints
- `queue`, `command`: what `check` writes for the stages to count, see `tunebench.countdown`
"""
