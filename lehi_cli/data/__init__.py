"""Data sources: functions `name(**options) -> Dataset` whose splits and contents never change."""
