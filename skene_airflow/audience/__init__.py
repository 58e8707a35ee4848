"""Who, and may we: the condition (SQL on the source) and the gates (SQL over the staged candidates)."""
