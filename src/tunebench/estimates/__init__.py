"""How large a model is, and what training it and asking it take, from shapes alone; without torch.

- `sizes`: weights and widths of a model, by its files, its config.json or its name
- `loaded`: a model as one method loads it
- `work`: how much one training and one file of prompts have to do
- `memory`, `seconds`: models of peak and time
"""
