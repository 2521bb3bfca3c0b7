"""The paper's tables and figures as data, and the tasks that carry them out."""
