"""What people see: tables, curves and live progress, one writer per form. Numbers come in finished."""
