"""Controls: models that are known to be bad, so that scores have a floor."""
