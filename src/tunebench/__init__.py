"""tunebench: which model, tuned by which method, on how many rows, and what it costs."""
