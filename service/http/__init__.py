"""The service over HTTP: JSON for every call, the OpenAI-compatible paths, and the page."""
