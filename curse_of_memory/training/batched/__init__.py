"""Many small models trained as one batched call: the sweep and what it is made of."""
