"""Where a fine-tuned model keeps and recalls what it learned: the same model with and without the new weights, by
token position and by component.

- `router`: parts of one model in another's place, at chosen positions.
- `schemes`: first entity, last token, both, complements, components; what each makes of the answers.
- `tuning`: the fine-tuned model.
- `picture`: the table as bars.
"""
