"""The application: from a request to a plan, to training, to the report. Nothing is printed here."""
