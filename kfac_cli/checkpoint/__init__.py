"""What a run keeps on the disk so that it can be taken up again: whole, verified, without code."""
