"""Circuit diagnostics: why did the model say that? Looks into a model and changes what passes, never its weights."""
