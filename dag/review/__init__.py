"""FiftyOne App for browsing predictions and reviewing relabelled joints. The only package that imports fiftyone.

Modules are imported one by one: several import fiftyone, which takes seconds and needs a running database.
"""
