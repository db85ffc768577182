"""Every result as tables, plots and one page."""
