"""Functions over windows of rows, in NumPy and Arrow: which rows are in a window, and what a function makes of them.

Training sets and the online store ask the same code, so that both have the same bits (semantics 11).
"""
