"""Enhancing located heads: what they say is passed on, through small trained maps, to the residual stream."""
