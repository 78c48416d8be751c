"""Our own BN and depthwise convolutions: machine code for the CPU, Triton for a GPU. Imports no other room."""
