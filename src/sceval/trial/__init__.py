"""Tries a model program against the contract before any hour is spent on it (`sceval validate-model`)."""
