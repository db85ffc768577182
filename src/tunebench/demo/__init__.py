"""The embedded demo: three generated data sets, and the model pretrained on such text."""
