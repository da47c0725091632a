"""Everything people see: tables, curves and live progress, one writer per form. Numbers arrive finished."""
