"""Side-by-side benchmarks: ``python -m bench.NAME`` prints a ratio a goal; exit 1 below a must."""
