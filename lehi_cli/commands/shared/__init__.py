"""What several verbs share: options, how a report is written, how the user is told and asked."""
