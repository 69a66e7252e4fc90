"""The server: the only room that knows the protocol and everybody else.

A call comes in through `server` (or `http`), `interceptors` and `access`, reaches a servicer (`servicers`), is
translated (`convert`) and carried out (`commands`). Behind these: `serving` (from a question to an answer), `edits`,
`encoders` and `studies` (long work), `doctor`, `backup`, `observability`, `pictures`, and the shell's commands (`cli`).
"""
