"""Looking at people and predictions in the FiftyOne App. The only room that imports fiftyone."""
