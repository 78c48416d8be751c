"""The paper's figures and tables, drawn again: for each its study, its page and its plots. No run needs this room."""
