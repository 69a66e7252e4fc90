"""Circuit diagnostics as the service runs them: on a twin of the served model, bounded, cancellable."""
