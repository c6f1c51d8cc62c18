"""What is measured: one file a row of the table. Each has `run(bench)`, which answers table lines."""
