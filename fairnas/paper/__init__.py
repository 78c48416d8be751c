"""Reproduction of the paper's figures and tables: for each a study, a page and plots. No run needs this room."""
