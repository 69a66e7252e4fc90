"""What operators see of a service that runs: figures for Prometheus, spans for a trace collector, an audit log."""
