"""D: from photographs and person rows to training batches."""
