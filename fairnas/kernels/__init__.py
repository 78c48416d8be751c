"""BN and depthwise convolutions of our own: machine code for the CPU, Triton for a GPU. Imports no other room."""
