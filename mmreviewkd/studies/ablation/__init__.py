"""The ablation study on Fashion-MNIST: its variants, how they are trained, and the page that shows the results."""
