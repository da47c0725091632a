"""What is found out about stored runs: sorted into what can be compared, compared, priced, and told where from."""
