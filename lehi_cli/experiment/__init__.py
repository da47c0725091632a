"""The application: from a request to a plan, to what is trained of it, to the report; nothing is printed here."""
