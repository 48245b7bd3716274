"""Linear recurrences: scan, FFT convolution, modal kernels, and the misfit of memories."""
