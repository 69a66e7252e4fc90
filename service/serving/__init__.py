"""From a question to an answer: facts retrieved, weighed, compiled and seen by the model; citations back."""
