"""A multilayer perceptron on log counts: the plain neural network that a foundation model has to beat."""
