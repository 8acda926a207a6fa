"""A small project of ForML: tells flowers apart by two lengths."""
