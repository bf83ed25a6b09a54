"""Networks that turn a person crop into features at a quarter of its resolution."""
