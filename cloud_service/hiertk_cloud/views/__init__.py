"""What is told of the service and its devices: to devices, to the API, to people."""
