"""The build tool: networks and their separation points, export, verification, demo."""
