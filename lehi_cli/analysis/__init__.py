"""The analysis of stored runs: sorted into what can be compared, compared, priced, and traced to their origin."""
