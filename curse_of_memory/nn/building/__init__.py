"""What layers are built with: initial weights, seeds, input maps, precision, free responses."""
