"""Methods of editing side by side: what each changes, where in the model it comes up, and what it spills over."""
