"""What all models share when they train or run: seeds, batches, devices, optimizers, the loop."""
