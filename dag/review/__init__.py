"""FiftyOne App: browsing annotations and predictions, reviewing relabelled joints. Only this package imports fiftyone."""
