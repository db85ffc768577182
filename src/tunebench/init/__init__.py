"""`tunebench init FILE`: a data set's entry in params.yaml, proposed from its file.

- `answers`: what the command's options decide
- `column`, `survey`: the file's columns: types, examples, how full they are
- `names`, `columns`: which column is the text, and which the label or the summary
- `audit`: the rows as `download` will read them: labels, empty cells, duplicates, splits
- `lengths`: the template, and lengths in tokens by the model's tokenizer
- `machine`: batch size, test rows and train sizes for this machine
- `entry`, `methods`, `sizes`: the parts of a proposal
- `case`, `proposal`: what it is made from, and all of it
- `params_file`: params.yaml with the proposal in it, all else untouched
- `printing`: what was found, and the diff, in a terminal or as plain text
- `steps`: from the file to the written params.yaml
- `command`: the command's options
- `local_files`: files on this machine in place of repositories of the Hub
"""
