"""The public REST API, the live event stream and the dashboard."""
