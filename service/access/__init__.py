"""Who may call, where the server may listen, and the gate that every call passes."""
