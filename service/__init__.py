"""The server: the only room that knows the protocol and everybody else."""
