"""Use a run of the study: answer new rows with its model, or take the model away.

- `runs`: a run that is ready to be used, or what it lacks
- `predicting`: answers to the rows of a file
- `written`: answers as lines of a CSV or JSON lines
- `partial`: what an interrupted prediction keeps
- `recommended`: the run to use for a data set, as text and as JSON
- `exporting`: a model as a folder that needs no tunebench
- `prompt`: the exact prompt as data
- `gguf`: llama.cpp's converter
- `checking`: the exported folder, tried in a process of its own
- `model_card`: its README.md

`scripts/` has the parts of the exported predict.py.
"""
