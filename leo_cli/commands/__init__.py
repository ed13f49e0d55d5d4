"""The verbs of the ``leo`` command, a file each. What takes long to import they import when they run."""
