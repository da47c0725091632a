"""One file per verb: options in, one call of the application, and what came of it printed; `shared` is for several."""
