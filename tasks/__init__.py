"""Built-in task definitions: one YAML file each."""
