"""Data sets and model files.

- `checking`: faults that can be found before any work
- `sources`: files, the Hugging Face Hub and generators, as rows
- `download`: one data set, read, cleaned and described on its card
- `unchanged`: whether its files are still those that were checked
- `cleaning`: cells checked, labels named, faults counted
- `duplicates`: rows that appear more than once
- `tables`: rows as Parquet
- `reordering`: a copy of some rows in another order, in limited memory
- `sampling`: nested, stratified, seeded subsets
- `forgetting_text`: text of another domain, on which forgetting is measured
- `model_files`: a model's files, whole or damaged
- `gguf_header`: the header of a GGUF file
- `pins`: the revision and files of each model
"""
