"""The service's HTTP side: API, metrics and dashboard; started only where it is asked for."""
