"""All results as headline metrics, tables, plots and one page.

- `summary`: one record for each model, data set, method and size
- `headlines`: the small files that `dvc metrics show` compares
- `tables`, `comparisons`, `confusion`, `inference`, `load_tests`, `deployment`, `published`: tables
- `digits`: numbers with their unit, and as many digits as their interval carries
- `cells`: labels that neither DVC's page nor a spreadsheet runs
- `predictions`: what one run answered, row by row
- `prices`, `costs`, `break_even`, `demand`, `throughput`: what a method costs
- `row_scores`: each run's score on each test row, which paired tests compare
- `power`: test rows that would tell two methods apart
- `recommendation`: the run to use for a data set
- `learning`, `power_law`: the score by training rows, and what more rows would bring
- `answer`, `sentences`, `savings`, `more_rows`: all of that in words, for `tunebench answer`
- `repeatability`: how far its seconds and dollars can be trusted
- `compare`, `retest`, `revisions`, `changes_text`, `changes_page`: what changed since a revision
- `staleness`: results of other settings than params.yaml has
- `gathered`: all of it; `page`: `report/index.html`
- `inspection`: one run, for `tunebench show`
- `experiments`: DVC's experiments side by side, for `tunebench experiments`
"""
