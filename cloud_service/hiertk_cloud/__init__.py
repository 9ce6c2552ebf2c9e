"""The cloud service: ingest, durable log, trainer of the cloud partition."""
