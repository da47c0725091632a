"""The Python API, `import lehi_cli as lehi`: the verbs as functions, and what they return."""
