"""Person crops in Arrow shards, and the datasets that read them."""
