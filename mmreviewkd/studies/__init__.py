"""The project's own demos, ablations and benchmark, and the data they use."""
