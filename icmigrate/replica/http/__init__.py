"""Interface Specification, "HTTPS Interface": connections, endpoints, and what is checked of a request."""
