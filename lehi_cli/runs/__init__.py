"""What a run is (specs, identity, rows, status) and where it is kept (store, shards, measurements, comparisons)."""
