"""Code that several verbs share: options, writing reports, telling and asking the user."""
