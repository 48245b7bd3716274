"""Training many small models as one batched call: the sweep, and the modules it is made of."""
