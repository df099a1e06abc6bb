"""The suites as plain definitions, and the experiments that keep the benchmark honest."""
