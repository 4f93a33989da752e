"""Gene vectors without any model: expression statistics, or co-expression."""
