"""Whether what is served is right: parity, verification of what is stored, the doctor."""
