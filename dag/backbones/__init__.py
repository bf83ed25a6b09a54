"""Networks that turn a crop into features at a quarter of its resolution."""
