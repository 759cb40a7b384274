"""Time, memory and FLOPs of a training step with Knowledge Review, beside the method as its paper writes it."""
