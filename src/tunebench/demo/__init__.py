"""Generated data sets, and the embedded model that was pretrained on them.

- `reviews`, `posts`, `chats`: the data sets, row generators for params.yaml
- `review_words`, `review_remarks`, `post_words`, `chat_stories`, `grammar`: what they are made of
- `corpus`, `exercises`, `tokens`, `pretrain`: the model in `assets/tiny`, made again by one command
"""
