"""One file per verb: it takes options, calls the application once and prints the result; `shared` serves several."""
