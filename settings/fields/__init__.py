"""The kinds of values that fields have: each with its check, its words and its JSON Schema."""
