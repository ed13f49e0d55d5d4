"""The parts of the report: markup, drawings and tables, all of them text."""
