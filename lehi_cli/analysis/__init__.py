"""What is found out about stored runs: sorted into what can be compared, compared, and put together in a report."""
