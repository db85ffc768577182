"""The rows and model files that everything starts from.

- `checking`: everything that can be known to be wrong before any work
- `sources`: files, the Hugging Face Hub and generators, as rows
- `download`: one data set, read, cleaned and described on its card
- `cleaning`: cells checked, labels named, faults counted
- `duplicates`: rows that appear more than once
- `tables`: rows as Parquet
- `sampling`: nested, stratified, seeded subsets
- `forgetting_text`: text of another domain, on which forgetting is measured
- `pins`: which files a model's name stands for
"""
