"""What HierTK costs: speed, memory and overlap, measured and written to docs/benchmarks.md."""
