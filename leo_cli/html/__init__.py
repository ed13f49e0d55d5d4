"""The parts of the HTML report; every function returns markup."""
