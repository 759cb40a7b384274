"""What produces this project's own demos, ablations and pages, and their data."""
