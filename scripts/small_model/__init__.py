"""A small GPT-NeoX language model, trained from scratch on the built-in facts and the phrase bank's language.

It is the second model family on which everything is tried from end to end: own tokenizer, own chat template, other
attention, other norms, a vocabulary and sizes that nothing else has.

    python -m scripts.small_model --size full --out ./small-model
"""

from scripts.small_model.sizes import SIZES, Size, recipe_path
from scripts.small_model.training import TrainedModel, train_small_model

__all__ = ["SIZES", "Size", "TrainedModel", "recipe_path", "train_small_model"]
