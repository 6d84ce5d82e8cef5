"""Out of CSV files: times in order, values at each of them."""
