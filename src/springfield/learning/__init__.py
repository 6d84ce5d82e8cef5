"""What every task's training shares, on Lightning."""
